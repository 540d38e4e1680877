"""Settings of SoundStorm; those of codec and prompt are in `CodecTokensConfig`."""

from huggingface_hub.dataclasses import strict

from .configuration_codec_tokens import CodecTokensConfig


@strict
class SoundStormConfig(CodecTokensConfig):
    """Settings of `SoundStorm`. The paper's model has 12 layers of 1024, 16 heads, 4096 and kernels of 5.

    Args:
        hidden_size: Width D of the conformer.
        num_hidden_layers: Its blocks.
        num_attention_heads: Heads; D / heads is even, since positions are rotated.
        intermediate_size: Width inside the two feed-forward parts of a block.
        kernel_size: Frames that the depthwise convolution sees (odd).
        rope_theta: Base of the rotary positions.
        dropout: Of each part of a block, in training.
        iterations: Passes for the first RVQ level; finer levels take one each (arXiv 2305.09636, section 3.3).
        temperature: Of the draws in the first level; 0 takes the likeliest.
        choice_temperature: Of the Gumbel noise on the confidences by which drawn codes are kept; falls to 0 with the passes.
        finer_weight: In training, of the hidden codes of levels finer than the one asked for; 0 in the paper. They are hidden anyway,
            and to guess them from what is known teaches more of them in as many steps.
        first_share: In training, the share of the items that are asked for the first level, which all others follow; None for 1 / Q,
            as in the paper.
        initializer_range: Standard deviation of the initial weights.

    Raises:
        ValueError: sizes that do not fit together.
    """

    model_type = "triglot_soundstorm"
    _auto_class = "AutoConfig"

    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    kernel_size: int = 5
    rope_theta: int | float = 10_000.0
    dropout: int | float = 0.1
    iterations: int = 16
    temperature: int | float = 1.0
    choice_temperature: int | float = 1.0
    finer_weight: int | float = 0.0
    first_share: int | float | None = None
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check_heads(self.hidden_size, self.num_attention_heads)
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; it must be odd, so that a block sees both sides alike."
            )
        if self.first_share is not None and not 0 <= self.first_share <= 1:
            raise ValueError(f"first_share is {self.first_share}; 0 to 1 is allowed.")
        if self.iterations < 1:
            raise ValueError(f"iterations is {self.iterations}; at least 1 is needed.")


__all__ = ["SoundStormConfig"]
