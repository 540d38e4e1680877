"""Settings of FeatureUnits: which encoder, which of its layers, at which rate, and how many codes."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_image_tokenizer import FITS

DOWNSAMPLE = ("mean", "stride")


@strict
class FeatureUnitsConfig(PreTrainedConfig):
    """Settings of `FeatureUnits`.

    Args:
        encoder_config: Config of the FULL encoder as a dict with its `model_type`; only `layer` layers are built.
            Default: HuBERT base.
        feature_extractor: What the encoder's feature extractor gives as `to_dict()`, with its
            `feature_extractor_type`; None for an encoder that takes raw waveforms.
        layer: Which hidden state is used, 1 for the output of the first layer.
        codebook_size: Number of codes K; 0 before k-means.
        feature_dim: Width D of the encoder.
        sampling_rate: Hz of the waveforms.
        encoder_frame_rate: Frames per second of the encoder.
        frame_rate: Codes per second; `encoder_frame_rate` divided by a whole number.
        downsample: "mean" of each group of encoder frames, or "stride" for its first; a last incomplete group counts.
        deduplicate: Whether repeated codes are dropped; not of pictures.
        preparation: How pictures are prepared for an encoder that sees: `image_size` and `patch_size`, both [height, width],
            `fit` ("pad", "crop" or "stretch"), `mean` and `std` of the three channels. None for an encoder that hears; the
            four fields of rates mean nothing for one that sees.
        modality: Name of the modality in a language model.
        fingerprint: sha256 over all that decides the codes; "" before k-means.

    Raises:
        ValueError: rates without a whole ratio, an unknown way to downsample, or a preparation that cannot be.
    """

    model_type = "triglot_feature_units"
    _auto_class = "AutoConfig"

    encoder_config: dict[str, Any] | None = None
    feature_extractor: dict[str, Any] | None = None
    layer: int = 6
    codebook_size: int = 0
    feature_dim: int = 768
    sampling_rate: int = 16_000
    encoder_frame_rate: float | int = 50.0
    frame_rate: float | int = 25.0
    downsample: str = "mean"
    deduplicate: bool = False
    preparation: dict[str, Any] | None = None
    modality: str = "speech"
    fingerprint: str = ""

    def __post_init__(self, **kwargs):
        if self.encoder_config is None:
            self.encoder_config = {"model_type": "hubert"}
        super().__post_init__(**kwargs)
        if not self.encoder_config.get("model_type"):
            raise ValueError(
                f"encoder_config has the keys {sorted(self.encoder_config)}; `model_type` is missing: give the "
                "dict that the encoder's config.to_dict() returns."
            )
        if self.downsample not in DOWNSAMPLE:
            raise ValueError(f"downsample is {self.downsample!r}; allowed is one of {', '.join(DOWNSAMPLE)}.")
        if self.codebook_size < 0:
            raise ValueError(f"codebook_size is {self.codebook_size}; it is the number of codes, 0 before k-means.")
        ratio = self.encoder_frame_rate / self.frame_rate if self.frame_rate > 0 else 0.0
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-6:
            raise ValueError(
                f"frame_rate is {self.frame_rate} Hz and encoder_frame_rate {self.encoder_frame_rate} Hz; their ratio must "
                f"be whole: choose {self.encoder_frame_rate} divided by 1, 2, 3, ..."
            )

        if self.preparation is not None:
            self._check_preparation(self.preparation)

    def _check_preparation(self, preparation: dict[str, Any]) -> None:
        lacking = [name for name in ("image_size", "patch_size", "fit", "mean", "std") if name not in preparation]
        if lacking or preparation["fit"] not in FITS:
            raise ValueError(
                f"preparation lacks {', '.join(lacking) or 'nothing'} and fit is {preparation.get('fit')!r}; allowed is one of "
                f"{', '.join(FITS)}."
            )
        if self.deduplicate:
            raise ValueError("deduplicate is true; a picture has h x w codes, of which none may be dropped.")

    @property
    def grid(self) -> list[int] | None:
        """[h, w] patches of a picture; None for speech."""
        if self.preparation is None:
            return None
        return [side // patch for side, patch in zip(self.preparation["image_size"], self.preparation["patch_size"])]

    @property
    def group_size(self) -> int:
        """Encoder frames of one code."""
        return round(self.encoder_frame_rate / self.frame_rate)
