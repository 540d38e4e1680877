"""Settings of AudioLM's coarse and fine stages; those of codec and prompt are in `CodecTokensConfig`."""

from huggingface_hub.dataclasses import strict

from .configuration_codec_tokens import CodecTokensConfig


@strict
class AudioLmConfig(CodecTokensConfig):
    """Settings of `AudioLm`. The paper's stages have 12 layers of 1024, 16 heads and 4096 each.

    Args:
        coarse_levels: RVQ levels that the coarse stage writes; the fine stage writes the others.
        hidden_size: Width D of both stages.
        num_hidden_layers: Layers of each stage.
        num_attention_heads: Heads.
        intermediate_size: Width inside the feed-forward parts.
        rope_theta: Base of the rotary positions.
        dropout: Of the attention, in training.
        fine_seconds: How much the fine stage sees at a time (section 3.4 of arXiv 2209.03143: 3 s); of its windows the first third
            was written before.
        temperature: Of the draws in the coarse stage; 0 takes the likeliest.
        fine_temperature: In the fine stage.
        initializer_range: Standard deviation of the initial weights.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_audiolm"
    _auto_class = "AutoConfig"

    coarse_levels: int = 4
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 704
    rope_theta: int | float = 10_000.0
    dropout: int | float = 0.0
    fine_seconds: int | float = 3.0
    temperature: int | float = 0.8
    fine_temperature: int | float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check_heads(self.hidden_size, self.num_attention_heads)
        if not 1 <= self.coarse_levels <= self.levels:
            raise ValueError(f"coarse_levels is {self.coarse_levels}; 1 to {self.levels}, all levels, are allowed.")
        if not self.fine_seconds > 0:
            raise ValueError(f"fine_seconds is {self.fine_seconds}; it must be above 0.")


__all__ = ["AudioLmConfig"]
