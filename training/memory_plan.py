"""What training a token LM takes in memory, told before anything is loaded.

    config of the LM, rows of new tokens, how it is to be trained ─▶ bytes of weights, gradients, optimiser, activations, logits

The parameters are counted on torch's "meta" device. Activations are what autograd keeps of a Llama-like layer; they come out within
a tenth of what it really keeps (the tests compare); other architectures may differ more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from ..processing.errors import TriglotError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
TRAINABLE = ("full", "lora")
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class TrainingSetup:
    """How the LM is to be trained.

    Attributes:
        trainable: "full", or "lora" for adapters of `lora_rank` on all linear layers plus the rows of the new tokens.
        dtype: Of the weights that lie in memory.
        autocast: Whether activations are bfloat16, whatever the weights are.
        optimizer_bytes: Of the optimiser's state for every trained number: 8 for AdamW in float32, 4 for Muon, 2 for 8-bit AdamW.
        batch_size: Packed rows of a step on one device.
        length: Ids of a row.
        gradient_checkpointing: Keep only what goes into each layer, and compute the rest again.
        lora_rank: Of the adapters.
    """

    trainable: str = "full"
    dtype: str = "float32"
    autocast: bool = True
    optimizer_bytes: int = 8
    batch_size: int = 8
    length: int = 1024
    gradient_checkpointing: bool = False
    lora_rank: int = 16

    def __post_init__(self):
        if self.trainable not in TRAINABLE:
            raise TriglotError(f"trainable is {self.trainable!r}; allowed is {' or '.join(TRAINABLE)}.")
        if self.dtype not in BYTES:
            raise TriglotError(f"dtype is {self.dtype!r}; allowed is {', '.join(BYTES)}.")
        for name in ("batch_size", "length", "lora_rank", "optimizer_bytes"):
            if getattr(self, name) < 1:
                raise TriglotError(f"{name} is {getattr(self, name)}; at least 1 is needed.")


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes, and the numbers they come from."""

    parameters: int
    trained: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Bytes of a step."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def plan_memory(text_config: Any, new_rows: int, setup: TrainingSetup | None = None) -> MemoryPlan:
    """The memory of a training step.

    Args:
        text_config: Config of the text LLM, before it grows.
        new_rows: Rows of the media tokens and their borders.
        setup: How it is to be trained; default: `TrainingSetup()`.
    """
    setup = setup or TrainingSetup()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(text_config)
    width = text_config.hidden_size
    tied = bool(getattr(text_config, "tie_word_embeddings", False))
    matrices = 1 if tied else 2
    parameters = sum(weight.numel() for weight in model.parameters()) + matrices * new_rows * width
    trained, adapters = parameters, 0
    if setup.trainable == "lora":
        adapters = sum(
            setup.lora_rank * (module.in_features + module.out_features)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] in LORA_TARGETS
        )
        trained = adapters + matrices * new_rows * width
    vocabulary = text_config.vocab_size + new_rows
    tokens, size = setup.batch_size * setup.length, 2 if setup.autocast else BYTES[setup.dtype]
    layers = text_config.num_hidden_layers
    layer = _layer_bytes(
        text_config, size, any(name.endswith("q_norm.weight") for name, _ in model.named_parameters())
    )
    kept = layers * width * size + layer if setup.gradient_checkpointing else layers * layer
    linear = sum(part.weight.numel() for part in model.modules() if isinstance(part, torch.nn.Linear))
    copies = (
        2 * linear if setup.autocast and setup.dtype == "float32" else 0
    )  # autocast keeps weights in bfloat16 as well
    return MemoryPlan(
        parameters=parameters,
        trained=trained,
        weights=(parameters + adapters) * BYTES[setup.dtype],
        gradients=trained * BYTES[setup.dtype],
        optimizer=trained * setup.optimizer_bytes,
        activations=tokens * kept + copies,
        logits=tokens * vocabulary * (size + 4 + 4),  # as computed, in float32 for the loss, and their gradient
    )


def _layer_bytes(config: Any, size: int, normed: bool) -> int:
    """What autograd keeps of one token in one Llama-like layer."""
    width, inner = config.hidden_size, getattr(config, "intermediate_size", 4 * config.hidden_size)
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = (
        head * config.num_attention_heads,
        head * getattr(config, "num_key_value_heads", config.num_attention_heads),
    )
    cast = size if size < 4 else 0
    # norms compute in float32: what came in and what came out, and that once more in half precision
    norms = 2 * width * (8 + cast) + (queries + keys if normed else 0) * (4 + size)
    attention = size * (3 * queries + 4 * keys)  # before and after turning, what is attended to
    mlp = size * 4 * inner  # gate, its activation, up, their product
    return norms + attention + mlp


def as_table(plan: MemoryPlan, parts: Mapping[str, int], setup: TrainingSetup) -> str:
    """For people: GiB of each share, and of parts that lie beside the LM, {name: parameters}, in float32."""
    rows = [
        ("weights of the LM", plan.weights, f"{plan.parameters / 1e6:.1f}M parameters, {setup.dtype}"),
        ("gradients", plan.gradients, f"{plan.trained / 1e6:.1f}M trained ({setup.trainable})"),
        ("optimiser", plan.optimizer, f"{setup.optimizer_bytes} bytes each"),
        (
            "activations",
            plan.activations,
            f"{setup.batch_size} rows of {setup.length} ids"
            + (", checkpointed" if setup.gradient_checkpointing else ""),
        ),
        ("logits", plan.logits, ""),
    ]
    lines = [f"{name:<20} {size / 2**30:8.2f} GiB   {note}".rstrip() for name, size, note in rows]
    lines.append(f"{'a training step':<20} {plan.total / 2**30:8.2f} GiB")
    lines += [
        f"{name:<20} {4 * count / 2**30:8.2f} GiB   {count / 1e6:.1f}M parameters; not needed while the LM trains"
        for name, count in parts.items()
    ]
    return "\n".join(lines)
