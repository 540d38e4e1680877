"""How fast a token LM trains, reads and writes on paper, and what each of several GPUs holds. Nothing is run.

    parameters, layers, widths + a GPU's peak and bandwidth + shares of them that are reached ─▶ ids a second

P parameters, L layers whose attention is A wide, rows of T ids, b sequences at once, G GPUs:

    training  G x peak x share / (2 P, once more where activations are checkpointed, 4 P backward (2 P for adapters), 6 L A T)
    reading   peak x share / 2 P
    writing   b x bandwidth x share / (bytes of the weights + b x bytes of the cache), at most as fast as reading
"""

from dataclasses import dataclass
from typing import Any

from ..processing.errors import TriglotError
from .memory_plan import BYTES, MemoryPlan, TrainingSetup


@dataclass(frozen=True)
class Accelerator:
    """A GPU; the defaults are an H100 SXM's data sheet. What share of it is reached is an assumption.

    Attributes:
        name: For tables.
        peak: TFLOP/s in bfloat16, dense.
        bandwidth: TB/s of its memory.
        utilisation: Share of the peak that training and reading reach.
        bandwidth_share: Share of the bandwidth that writing one id after another reaches.
    """

    name: str = "H100"
    peak: float = 989.0
    bandwidth: float = 3.35
    utilisation: float = 0.4
    bandwidth_share: float = 0.6

    def __post_init__(self):
        for name in ("peak", "bandwidth"):
            if not getattr(self, name) > 0:
                raise TriglotError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("utilisation", "bandwidth_share"):
            if not 0 < getattr(self, name) <= 1:
                raise TriglotError(f"{name} is {getattr(self, name)}; allowed is above 0, up to 1.")


def attention_width(config: Any) -> int:
    """Numbers of all heads of a layer: A."""
    return config.num_attention_heads * _head(config)


def _head(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def training_tokens(
    parameters: int, config: Any, setup: TrainingSetup, gpus: int = 1, accelerator: Accelerator | None = None
) -> float:
    """Ids a second of all GPUs together.

    Args:
        parameters: P, rows of the media among them.
        config: Of the text LLM.
        setup: How it is trained: its `length`, `trainable` and `gradient_checkpointing` count.
        gpus: G.
        accelerator: Default: `Accelerator()`.
    """
    accelerator = accelerator or Accelerator()
    again = setup.gradient_checkpointing
    backward = 4 if setup.trainable == "full" else 2  # inputs' and weights' gradients, or inputs' alone
    attention = 6 * config.num_hidden_layers * attention_width(config) * setup.length  # causal: half of 12 L A T
    flops = (2 + 2 * again + backward) * parameters + attention * (1 + again / 3)
    return gpus * accelerator.peak * 1e12 * accelerator.utilisation / flops


def gpu_bytes(plan: MemoryPlan, config: Any, gpus: int = 1) -> float:
    """Bytes on each GPU where FSDP2 shards weights, gradients and optimiser."""
    shared = (plan.weights + plan.gradients + plan.optimizer) / gpus
    gathered = (
        0.0 if gpus == 1 else 2 * 2 * plan.parameters / config.num_hidden_layers
    )  # this layer's and the next one's
    return shared + gathered + plan.activations + plan.logits


def cache_bytes(config: Any, dtype: str = "bfloat16") -> int:
    """Keys and values of one id in all layers."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * _head(config) * BYTES[dtype]


def reading_tokens(parameters: int, accelerator: Accelerator | None = None) -> float:
    """Ids of a prompt a second, in bfloat16."""
    accelerator = accelerator or Accelerator()
    return accelerator.peak * 1e12 * accelerator.utilisation / (2 * parameters)


def writing_tokens(
    parameters: int, config: Any, context: int, batch_size: int = 1, accelerator: Accelerator | None = None
) -> float:
    """Ids a second of all sequences together, in bfloat16.

    Args:
        parameters: P.
        config: Of the text LLM; of an untied one the input embeddings are looked up and not read.
        context: Ids that each sequence looks back on.
        batch_size: b.
        accelerator: Default: `Accelerator()`.
    """
    accelerator = accelerator or Accelerator()
    looked_up = 0 if getattr(config, "tie_word_embeddings", False) else config.vocab_size * config.hidden_size
    read = BYTES["bfloat16"] * (parameters - looked_up) + batch_size * context * cache_bytes(config)
    bound = batch_size * accelerator.bandwidth * 1e12 * accelerator.bandwidth_share / read
    return min(bound, reading_tokens(parameters, accelerator))
