"""TriglotForConditionalGeneration and extend_text_model over Llama, Qwen2, Qwen3 and Gemma, tied and untied."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

from triglot import TriglotConfig, TriglotForConditionalGeneration, TriglotModel, extend_text_model

ROWS = 97  # no round number: text LLMs pad their vocabularies in any way they like
MEDIA = [{"name": "speech", "size": 20, "frame_rate": 25.0}, {"name": "image", "size": 8, "grid": [2, 2]}]
FAMILIES = [LlamaConfig, Qwen2Config, Qwen3Config, GemmaConfig, Gemma2Config, Gemma3TextConfig]
SIZES = {
    "vocab_size": ROWS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def text_model(family=LlamaConfig, tied=True):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(family(**SIZES, tie_word_embeddings=tied)).eval()


def ids_of(batch=2, length=9, seed=0):
    return torch.randint(3, ROWS, (batch, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_text_is_untouched_by_the_new_rows(family, tied, tmp_path):
    base, ids = text_model(family, tied), ids_of()
    before = base(ids, output_hidden_states=True)
    old_rows = base.get_input_embeddings().weight.detach().clone()
    for init in ("zero", "mean"):
        model = extend_text_model(base, MEDIA, init)
        after = model(ids, output_hidden_states=True)
        assert torch.equal(model.get_input_embeddings().weight[:ROWS], old_rows)
        assert all(torch.equal(a, b) for a, b in zip(before.hidden_states, after.hidden_states))
        torch.testing.assert_close(after.logits[..., :ROWS], before.logits, atol=1e-5, rtol=0)
        assert after.logits.shape[-1] == model.config.vocab_size == ROWS + 1 + 22 + 10
        same = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        assert same is tied
    assert base.get_input_embeddings().weight.shape[0] == ROWS, "the base model must stay as it was"

    model.save_pretrained(tmp_path)
    again = TriglotForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert torch.equal(again(ids).logits, after.logits)
    states = TriglotModel.from_pretrained(tmp_path).eval()
    assert torch.equal(states(ids).last_hidden_state, after.hidden_states[-1])


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_start_as_asked(tied):
    base = text_model(tied=tied)
    zero = extend_text_model(base, MEDIA, "zero")
    mean = extend_text_model(base, MEDIA, "mean")
    points = torch.arange(20.0)[:, None] * torch.ones(1, 5)  # neighbours are alike
    near = extend_text_model(base, MEDIA, "centroids", centroids={"speech": points})
    first, last = zero.config.modality_ranges["speech"]
    for matrix in ("get_input_embeddings", "get_output_embeddings"):
        old = getattr(base, matrix)().weight
        assert getattr(zero, matrix)().weight[ROWS:].abs().max() == 0
        assert torch.allclose(getattr(mean, matrix)().weight[ROWS:], old.mean(0), atol=1e-7)
        rows = getattr(near, matrix)().weight[first:last]
        assert (rows[0] - rows[1]).norm() < (rows[0] - rows[19]).norm() / 5
        assert 0.3 < rows.std() / old.std() < 3
    again = extend_text_model(base, MEDIA, "centroids", centroids={"speech": points})
    assert torch.equal(again.get_input_embeddings().weight, near.get_input_embeddings().weight)


def test_padded_vocabulary_keeps_its_padded_rows():
    """A tokenizer with fewer tokens than the model has rows: media start behind the rows, not behind the tokens."""
    base = text_model()
    base.resize_token_embeddings(128, mean_resizing=False)
    model = extend_text_model(base, MEDIA)
    assert model.config.modality_ranges["text"] == (0, 128)
    assert model.config.sep_token_id == 128


def test_a_model_that_is_extended_again_after_saving(tmp_path):
    model = extend_text_model(text_model(), MEDIA)
    model.save_pretrained(tmp_path)
    again = TriglotForConditionalGeneration.from_pretrained(tmp_path)
    more = extend_text_model(
        again.language_model,
        [{"name": "text", "size": again.config.vocab_size}, {"name": "video", "size": 6}],
    )
    assert more.config.vocab_size == again.config.vocab_size + 1 + 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init": "random"}, "allowed is zero, mean, centroids"),
        ({"init": "centroids"}, "needs centroids"),
        ({"init": "centroids", "centroids": {"speech": torch.zeros(3, 2)}}, "speech"),
        ({"init": "zero", "centroids": {"speech": torch.zeros(20, 2)}}, 'pass init="centroids"'),
        ({"modalities": [{"name": "text", "size": 5}]}, "97 embedding rows"),
    ],
)
def test_extend_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        extend_text_model(text_model(), **{"modalities": MEDIA, **arguments})


# ---- packing


def packed_inputs():
    lengths = (5, 7, 4)
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    return ids_of(1, sum(lengths)), positions, lengths


@pytest.mark.parametrize("family", [LlamaConfig, Qwen3Config, Gemma2Config, Gemma3TextConfig])
def test_packed_neighbours_get_exactly_no_gradient(family):
    model = extend_text_model(text_model(family), MEDIA, "mean")
    ids, positions, lengths = packed_inputs()
    for training in (True, False):
        model.train(training)
        model.config.use_cache = True  # the trap: the inner model would build a cache and forget the borders
        embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
        logits = model(inputs_embeds=embeddings, position_ids=positions).logits
        start, stop = lengths[0], lengths[0] + lengths[1]
        logits[0, start:stop].square().sum().backward()
        gradient = embeddings.grad[0].abs().sum(-1)
        assert gradient[start:stop].min() > 0
        assert gradient[:start].max() == 0 and gradient[stop:].max() == 0


def test_packed_row_equals_its_examples_alone():
    model = extend_text_model(text_model(), MEDIA, "mean")
    ids, positions, lengths = packed_inputs()
    packed = model(ids, position_ids=positions).logits[0]
    alone = [model(part).logits[0] for part in ids.split(list(lengths), dim=1)]
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-5, rtol=0)


def test_use_cache_follows_the_outer_config_as_trainer_sets_it():
    model = extend_text_model(text_model(), MEDIA)
    assert model(ids_of()).past_key_values is not None
    model.config.use_cache = False
    assert model.language_model.config.use_cache is True, "the inner config stays as it is: that is the trap"
    assert model(ids_of()).past_key_values is None
    assert model(ids_of(), use_cache=True).past_key_values is not None
    assert model.train()(ids_of(), use_cache=True).past_key_values is None


# ---- training


def test_every_parameter_gets_a_gradient_and_the_loss_is_on_the_labels_only():
    model = extend_text_model(text_model(), MEDIA, "mean").train()
    ids = torch.arange(3, model.config.vocab_size)[None]
    labels = ids.clone()
    labels[:, :5] = -100
    model(ids, labels=labels).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        logits = model(ids).logits[0, :-1]
        expected = torch.nn.functional.cross_entropy(logits[4:], ids[0, 5:])
        torch.testing.assert_close(model(ids, labels=labels).loss, expected)


def test_gradient_checkpointing_changes_no_gradient():
    ids = ids_of(2, 12)
    gradients = []
    for checkpointing in (False, True):
        model = extend_text_model(text_model(), MEDIA, "mean").train()
        if checkpointing:
            model.activation_checkpointing_enable()
            assert model.is_activation_checkpointing
        model(ids, labels=ids).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


# ---- generation backends


def test_static_cache_and_sdpa_give_the_same_greedy_ids():
    model = extend_text_model(text_model(), MEDIA, "mean")
    assert model.language_model.config._attn_implementation == "sdpa"
    ids = ids_of()
    options = {"max_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    dynamic = model.generate(ids, **options)
    static = model.generate(ids, cache_implementation="static", **options)
    eager = extend_text_model(text_model(), MEDIA, "mean")
    eager.set_attn_implementation("eager")
    assert torch.equal(dynamic, static)
    assert torch.equal(dynamic, eager.generate(ids, **options))


def test_forward_compiles_as_one_graph():
    model = extend_text_model(text_model(), MEDIA, "mean")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    ids = ids_of()
    torch.testing.assert_close(compiled(ids, use_cache=False).logits, model(ids).logits)


def test_left_padded_batch_gives_the_ids_of_its_items():
    model = extend_text_model(text_model(), MEDIA, "mean")
    short, long = ids_of(1, 4, seed=1), ids_of(1, 9, seed=2)
    batch = torch.cat([torch.cat([torch.zeros(1, 5, dtype=torch.long), short], dim=1), long])
    mask = torch.ones_like(batch)
    mask[0, :5] = 0
    together = model.generate(batch, attention_mask=mask, max_new_tokens=8, do_sample=False)[:, 9:]
    for row, item in zip(together, (short, long)):
        alone = model.generate(item, attention_mask=torch.ones_like(item), max_new_tokens=8, do_sample=False)
        kept = alone[0, item.shape[1] :]
        assert torch.equal(row[: len(kept)], kept)


# ---- broken checkpoints and ids


def test_ids_outside_the_vocabulary_name_the_ranges():
    model = extend_text_model(text_model(), MEDIA)
    for bad in (-1, model.config.vocab_size):
        with pytest.raises(ValueError, match=r"speech 100\.\.119"):
            model(torch.tensor([[3, bad]]))


def test_missing_weights_are_an_error_and_not_random_numbers(tmp_path):
    extend_text_model(text_model(), MEDIA).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if "layers.1.mlp" in name))
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="incomplete"):
        TriglotForConditionalGeneration.from_pretrained(tmp_path)


def test_weights_of_another_shape_are_an_error(tmp_path):
    extend_text_model(text_model(), MEDIA).save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["text_config"]["intermediate_size"] = 48
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="shapes"):
        TriglotForConditionalGeneration.from_pretrained(tmp_path)


def test_truncated_weights_are_an_error(tmp_path):
    extend_text_model(text_model(), MEDIA).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match="damaged"):
        TriglotForConditionalGeneration.from_pretrained(tmp_path)


def test_built_from_a_bare_config():
    model = TriglotForConditionalGeneration(TriglotConfig(text_config=LlamaConfig(**SIZES)))
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size


@pytest.mark.parametrize("tied", [True, False])
def test_peft_trains_the_new_rows_saves_small_and_merges_exactly(tied, tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    model = extend_text_model(text_model(tied=tied), MEDIA, "mean").double()
    before = model.get_input_embeddings().weight.detach().clone()
    new_rows = list(range(ROWS, model.config.vocab_size))
    rows = new_rows if tied else {"embed_tokens": new_rows, "lm_head": new_rows}
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], trainable_token_indices=rows))
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.5)
    ids = torch.arange(3, model.config.vocab_size)[None]
    for _ in range(3):
        optimizer.zero_grad()
        adapted(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    adapted.eval()
    trained = adapted(input_ids=ids).logits
    adapted.save_pretrained(tmp_path)
    fresh = extend_text_model(text_model(tied=tied), MEDIA, "mean").double()
    loaded = PeftModel.from_pretrained(fresh, tmp_path).eval()
    torch.testing.assert_close(loaded(input_ids=ids).logits, trained, atol=1e-10, rtol=0)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(merged(input_ids=ids).logits, trained, atol=1e-10, rtol=0)
    after = merged.get_input_embeddings().weight
    assert torch.equal(after[:ROWS], before[:ROWS]) and not torch.equal(after[ROWS:], before[ROWS:])
    assert (merged.get_output_embeddings().weight is after) is tied
