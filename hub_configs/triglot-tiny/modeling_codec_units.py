"""CodecUnits: the codes of a neural codec as speech tokens, its coarsest RVQ levels one after another.

Papers: EnCodec (arXiv 2210.13438), DAC (arXiv 2306.06546), Mimi (arXiv 2410.00037), X-Codec (arXiv 2408.17175), the flattened
levels of AudioLM (arXiv 2209.03143, section 3.2).

    waveform (S,) ─ encoder and quantizer of the codec ─ (Q, T) ─ frame by frame, level by level ─ (T Q,), code = level K + entry

Only the codec's encoder and quantizer are kept; `CodecDecoder` has the other half. With one level of Mimi these are semantic
tokens at 12.5 Hz; with several levels of any codec they carry the voice as well.

Shapes: S samples, T frames of the codec, Q levels, K entries of a level.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from .configuration_codec_units import CODECS, CodecUnitsConfig
from .media_tokenizer import MediaTokenizer, weights_fingerprint

DECODING_HALF = {"xcodec": ("acoustic_decoder", "decoder_semantic", "fc1", "fc2")}  # others: "decoder"
_INCIDENTAL_SETTINGS = ("_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")


class CodecUnits(MediaTokenizer):
    """A speech tokenizer made of a neural codec. Items are encoded one by one; the model stays in evaluation mode."""

    config: CodecUnitsConfig
    config_class = CodecUnitsConfig
    main_input_name = "input_values"
    input_modalities = "audio"
    _auto_class = "AutoModel"
    modality = "speech"

    def __init__(self, config: CodecUnitsConfig):
        super().__init__(config)
        self.modality = config.modality
        settings = dict(config.codec_config or {})
        self.codec: Any = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
        for name in DECODING_HALF.get(self.codec.config.model_type, ("decoder",)):
            setattr(self.codec, name, None)
        self.post_init()
        self.eval()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The codec's own classes know how theirs start."""

    @classmethod
    def from_codec(
        cls, codec: str | os.PathLike | PreTrainedModel, levels: int = 1, modality: str = "speech"
    ) -> "CodecUnits":
        """Builds the tokenizer around a trained codec; it is complete.

        Args:
            codec: A folder or Hub id of an EnCodec, DAC, Mimi or X-Codec model, or the model itself.
            levels: RVQ levels told; 0 for all.
            modality: Name of the modality in a language model.

        Raises:
            ValueError: another model, or a codec that cannot be used (see `CodecUnitsConfig`).
        """
        if not isinstance(codec, PreTrainedModel):
            settings, _ = PreTrainedConfig.get_config_dict(codec)
            if settings.get("model_type") not in CODECS:
                raise ValueError(
                    f"{os.fspath(codec)!r} holds a {settings.get('model_type')!r}; a codec is one of {', '.join(CODECS)}."
                )
            loaded: Any = AutoModel.from_pretrained(codec, dtype=torch.float32, trust_remote_code=False)
            codec = loaded
        units = cls(CodecUnitsConfig(**codec_settings(codec.config, levels), modality=modality))
        wanted = units.codec.state_dict()
        units.codec.load_state_dict({name: tensor for name, tensor in codec.state_dict().items() if name in wanted})
        units.float()
        units.config.fingerprint = units.compute_fingerprint()
        return units

    @property
    def codebook_size(self) -> int:
        """Number of codes, those of all levels."""
        return self.config.codebook_size

    @property
    def hop_length(self) -> int:
        """Samples of one frame of the codec."""
        return self.config.hop_length

    @property
    def centroids(self) -> torch.Tensor:  # type: ignore[override]
        """The entries of all levels, float (Q K, D), as the codec adds them up."""
        return codec_entries(self.codec, self.config.levels).flatten(0, 1)

    def train(self, mode: bool = True) -> "CodecUnits":
        """Keeps evaluation mode, whatever `mode` says."""
        return super().train(False)

    def compute_fingerprint(self, state_dict: Mapping[str, torch.Tensor] | None = None) -> str:
        """sha256 (hex) over the codec's encoding half and the number of levels."""
        weights = self.state_dict() if state_dict is None else state_dict
        return weights_fingerprint(weights, {"levels": self.config.levels, "level_size": self.config.level_size})

    def frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """The codec's own codes of one waveform float (S,): int64 (Q, T), T = ceil(S / hop).

        Raises:
            ValueError: not a float (S,) of at least 0.05 s, or NaN or infinite samples.
        """
        return self._frames(waveform, "waveform").cpu().clone()

    @torch.inference_mode()
    def _frames(self, waveform: torch.Tensor, name: str) -> torch.Tensor:
        wave = self.check_waveform(waveform, name)
        hop, levels, kind = self.config.hop_length, self.config.levels, self.codec.config.model_type
        wave = nn.functional.pad(wave, (0, -len(wave) % hop))[None, None].to(device=self.device, dtype=self.dtype)
        if kind == "dac":
            codes = self.codec.encode(wave, n_quantizers=levels).audio_codes[0]
        elif kind == "mimi":
            # below the semantic levels the codec refuses to stop
            least = max(levels, self.codec.config.num_semantic_quantizers)
            codes = self.codec.encode(wave, num_quantizers=least).audio_codes[0]
        else:
            codes = self.codec.encode(wave, bandwidth=_bandwidth(self.codec.config, levels)).audio_codes
            codes = codes.reshape(-1, codes.shape[-1])  # EnCodec has an axis of chunks before the batch
        return codes[:levels, : wave.shape[-1] // hop]

    def encode(self, media: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Codes of each waveform, as `MediaTokenizer.encode` promises: those of the first frame from level 0 on, and so on."""
        found = []
        for index, waveform in enumerate(media):
            codes = self._frames(waveform, f"item {index}")
            offsets = torch.arange(self.config.levels, device=codes.device)[:, None] * self.config.level_size
            found.append((codes + offsets).T.flatten().cpu().clone())
        return found


def codec_settings(codec_config: Any, levels: int = 0) -> dict[str, Any]:
    """What `CodecUnitsConfig` and the decoder's config must know of a codec.

    Args:
        codec_config: That of the whole codec.
        levels: RVQ levels in use; 0 for all.

    Raises:
        ValueError: another model, more levels than it has, or a codec for stereo, with normalised loudness or in chunks.
    """
    config = codec_config
    kind = config.model_type
    if kind not in CODECS:
        raise ValueError(f"The codec is a {kind!r}; allowed is one of {', '.join(CODECS)}.")
    if (
        getattr(config, "audio_channels", 1) != 1
        or getattr(config, "normalize", False)
        or getattr(config, "chunk_length_s", None)
    ):
        raise ValueError(
            f"This {kind} is for stereo, normalises loudness or works in chunks; take one for mono speech, e.g. EnCodec at 24 kHz."
        )
    there = getattr(config, "num_quantizers", None) or config.n_codebooks
    if not 0 <= levels <= there:
        raise ValueError(f"levels is {levels}; this {kind} has {there}.")
    rate = config.sample_rate if kind == "xcodec" else config.sampling_rate
    hop = round(rate / config.frame_rate) if kind == "mimi" else int(config.hop_length)
    plain = {key: value for key, value in config.to_dict().items() if key not in _INCIDENTAL_SETTINGS}
    return {
        "codec_config": json.loads(json.dumps(plain)),  # as it reads back from JSON
        "levels": levels or there,
        "level_size": config.codebook_size,
        "sampling_rate": rate,
        "hop_length": hop,
    }


@torch.no_grad()
def codec_entries(codec: Any, levels: int) -> torch.Tensor:
    """The entries of a codec's coarsest levels as it adds them up, float (Q, K, D); an EnCodec, DAC, Mimi or X-Codec."""
    kind, quantizer, found = codec.config.model_type, codec.quantizer, []
    entries = torch.arange(codec.config.codebook_size, device=next(codec.parameters()).device)[None]
    for level in range(levels):
        if kind == "dac":
            layer = quantizer.quantizers[level]
            found.append(layer.out_proj(layer.codebook(entries).transpose(1, 2))[0].T)
        elif kind == "mimi":
            semantic = quantizer.num_semantic_quantizers
            part = (
                quantizer.semantic_residual_vector_quantizer
                if level < semantic
                else quantizer.acoustic_residual_vector_quantizer
            )
            vectors = part.layers[level if level < semantic else level - semantic].decode(entries)
            found.append((vectors if part.output_proj is None else part.output_proj(vectors))[0].T)
        else:
            layer = quantizer.quantizers[level] if kind == "xcodec" else quantizer.layers[level]
            found.append(layer.decode(entries)[0].T)
    return torch.stack(found)


def _bandwidth(config: Any, levels: int) -> float:
    """The smallest bandwidth (kbit/s) of an EnCodec or X-Codec that has so many levels."""
    per_level = config.frame_rate * config.codebook_nbits / 1000
    return next(bandwidth for bandwidth in sorted(config.target_bandwidths) if bandwidth // per_level >= levels)


__all__ = ["CodecUnits"]
