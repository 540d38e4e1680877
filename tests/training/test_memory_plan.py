"""The memory plan against what torch really holds."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from triglot import extend_text_model
from triglot.processing.errors import TriglotError
from triglot.training.memory_plan import LORA_TARGETS, TrainingSetup, as_table, plan_memory

SIZES = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
}
MEDIA = [{"name": "speech", "size": 50}]
NEW_ROWS = 50 + 2 + 1  # codes, their borders, <|sep|>


def build(name: str):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]))
    return extend_text_model(base, MEDIA, "mean", inplace=True)


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_gradients_and_optimiser_are_what_torch_holds(name):
    model = build(name)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(300, (2, 16))
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    plan = plan_memory(CONFIGS[name], NEW_ROWS)
    parameters = list(model.parameters())
    assert plan.parameters == plan.trained == sum(weight.numel() for weight in parameters)
    assert plan.weights == sum(weight.nbytes for weight in parameters)
    assert plan.gradients == sum(weight.grad.nbytes for weight in parameters)
    states = [value for state in optimizer.state.values() for key, value in state.items() if key != "step"]
    assert plan.optimizer == sum(value.nbytes for value in states)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("autocast", [False, True])
def test_activations_are_about_what_autograd_keeps(name, autocast):
    model, ids = build(name).train(), torch.randint(300, (4, 64))
    kept: dict[int, int] = {}
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    alive = []  # so that no address is used twice

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), hooks:
        hidden = model.language_model.model(input_ids=ids, use_cache=False).last_hidden_state
    assert hidden.requires_grad
    setup = TrainingSetup(batch_size=4, length=64, autocast=autocast)
    assert plan_memory(CONFIGS[name], NEW_ROWS, setup).activations == pytest.approx(sum(kept.values()), rel=0.1)


def test_lora_trains_its_adapters_and_the_new_rows():
    model = build("llama")
    full = sum(weight.numel() for weight in model.parameters())
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=list(LORA_TARGETS)))
    adapters = sum(weight.numel() for name, weight in adapted.named_parameters() if "lora_" in name)
    plan = plan_memory(CONFIGS["llama"], NEW_ROWS, TrainingSetup(trainable="lora", lora_rank=4, dtype="bfloat16"))
    assert plan.trained == adapters + 2 * NEW_ROWS * 64
    assert plan.weights == 2 * (full + adapters) and plan.parameters == full
    assert plan.optimizer == 8 * plan.trained


def test_checkpointing_and_length():
    plain, short = TrainingSetup(length=512, autocast=False), TrainingSetup(length=256, autocast=False)
    checkpointed = TrainingSetup(length=512, autocast=False, gradient_checkpointing=True)
    plans = [plan_memory(CONFIGS["llama"], NEW_ROWS, setup) for setup in (plain, short, checkpointed)]
    assert plans[0].activations == 2 * plans[1].activations and plans[0].logits == 2 * plans[1].logits
    assert plans[2].activations < 0.6 * plans[0].activations and plans[2].weights == plans[0].weights
    table = as_table(plans[0], {"speech tokenizer": 90_000_000}, plain)
    assert "90.0M parameters" in table and "a training step" in table


def test_a_7b_llama_needs_what_is_known_of_it():
    config = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
    plan = plan_memory(config, 1_003, TrainingSetup(batch_size=1, length=2048))
    assert plan.parameters == pytest.approx(6.75e9, rel=0.01)
    assert (plan.weights + plan.gradients + plan.optimizer) / plan.parameters == 16  # bytes, as everyone counts


@pytest.mark.parametrize(
    "change", [{"trainable": "some"}, {"dtype": "int8"}, {"batch_size": 0}, {"length": 0}, {"lora_rank": 0}]
)
def test_refused(change):
    with pytest.raises(TriglotError):
        TrainingSetup(**change)
