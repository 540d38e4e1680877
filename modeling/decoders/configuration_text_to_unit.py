"""TextToUnitConfig: settings of the model that turns text into the codes of a speech tokenizer."""

from transformers import PreTrainedConfig


class TextToUnitConfig(PreTrainedConfig):
    r"""Settings of `TextToUnit`.

    SeamlessM4T's first text-to-unit model is autoregressive, its second is not (arXiv 2308.11596 and
    2312.05187); `autoregressive` chooses.

    Args:
        codebook_size: Codes K of the speech tokenizer.
        fingerprint: Fingerprint of that tokenizer; "" before training.
        characters: What can be read, each once, lower case; others are skipped. Spaces are one of them.
        languages: ISO codes of what it can say.
        autoregressive: Whether codes are written one by one, each knowing the ones before; else all at once, each character for as
            long as is predicted for it.
        hidden_size: Width D of both halves.
        num_hidden_layers: Conformer blocks that read the characters.
        num_decoder_layers: Layers that write the codes: of a causal transformer, or conformer blocks.
        num_attention_heads: Heads; D / heads is even, since positions are rotated.
        intermediate_size: Width inside the feed-forward parts.
        kernel_size: Characters or codes that the depthwise convolution of a conformer block sees (odd).
        rope_theta: Base of the rotary positions.
        dropout: Of each part of a conformer block, and of the duration predictor, in training.
        aligner_size: Numbers in which characters and codes are compared to learn which belong together.
        longest_text: Characters, at most.
        most_codes_per_symbol: Codes that a text may take at most, for each of its characters and the two borders; the autoregressive form
            stops there.
        initializer_range: Standard deviation of the initial weights.

    Raises:
        ValueError: sizes that do not fit together, a character twice, or no language.
    """

    model_type = "triglot_text_to_unit"
    _auto_class = "AutoConfig"

    codebook_size: int = 1024
    fingerprint: str = ""
    characters: str = " abcdefghijklmnopqrstuvwxyz"
    languages: list | tuple = ("en",)
    autoregressive: bool = False
    hidden_size: int = 192
    num_hidden_layers: int = 3
    num_decoder_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 384
    kernel_size: int = 5
    rope_theta: int | float = 10_000.0
    dropout: int | float = 0.1
    aligner_size: int = 64
    longest_text: int = 1_000
    most_codes_per_symbol: int | float = 8.0
    initializer_range: float = 0.05

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.languages = list(self.languages)
        if not self.characters or len(set(self.characters)) != len(self.characters):
            raise ValueError(f"characters is {self.characters!r}; at least one is needed, each once.")
        if not self.languages or len(set(self.languages)) != len(self.languages):
            raise ValueError(f"languages is {self.languages}; at least one is needed, each once.")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size is {self.hidden_size}; with {self.num_attention_heads} heads it must divide by "
                f"{2 * self.num_attention_heads}, since positions are rotated in pairs."
            )
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; it must be odd, so that a block sees both sides alike."
            )
        if self.longest_text < 1 or not self.most_codes_per_symbol > 0:
            raise ValueError(
                f"longest_text is {self.longest_text} and most_codes_per_symbol {self.most_codes_per_symbol}; above 0 is needed."
            )


__all__ = ["TextToUnitConfig"]
