"""Neural codecs of transformers behind one interface: EnCodec, DAC, Mimi and X-Codec, waveform <-> RVQ codes.

Papers: EnCodec (arXiv 2210.13438), DAC (arXiv 2306.06546), Mimi (arXiv 2410.00037), X-Codec (arXiv 2408.17175).

    waveform (S,) ─ encode ─▶ frames (Q, N), N = ceil(S / hop) ─ decode ─▶ waveform (N hop,)

The classes differ in what they call a number of levels, in the shapes of their codes, and in how long their sound comes out;
here sound is padded to whole frames before, and cut to whole frames after.

Shapes: S samples, N frames of `hop_length` samples, Q RVQ levels of K entries each, the coarsest first.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel

CHUNK_SECONDS = 20.0  # decoded at a time: bounds the memory of long sound
ENCODING_HALF = {"xcodec": ("acoustic_encoder", "encoder_semantic", "semantic_model", "fc")}  # others: "encoder"
CONTEXT_SECONDS = 2.0  # before and after a chunk: more than the reach of the convolutions, and a cell's memory


class NeuralCodec(nn.Module):
    """A codec, or the decoding half of it. It stays in evaluation mode: a codec comes trained.

    Args:
        config: Has codec_config (a dict with its `model_type`), levels, hop_length (samples) and sampling_rate (Hz).
        encodes: Whether the encoding half is kept.
    """

    def __init__(self, config: Any, encodes: bool = True):
        super().__init__()
        settings = dict(config.codec_config)
        self.kind = settings.pop("model_type")
        self.levels, self.hop_length, self.sampling_rate = config.levels, config.hop_length, config.sampling_rate
        self.model: Any = AutoModel.from_config(AutoConfig.for_model(self.kind, **settings))
        if not encodes:
            for name in ENCODING_HALF.get(self.kind, ("encoder",)):
                setattr(self.model, name, None)
        self.requires_grad_(False)

    def take(self, codec: nn.Module) -> None:
        """The weights of a trained codec of the same config, as far as they are kept here."""
        wanted = self.model.state_dict()
        self.model.load_state_dict({name: tensor for name, tensor in codec.state_dict().items() if name in wanted})
        self.float()

    def train(self, mode: bool = True) -> "NeuralCodec":
        """Keeps evaluation mode, whatever `mode` says."""
        return super().train(False)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sampling_rate / self.hop_length

    @torch.inference_mode()
    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """float (S,) -> int64 (Q, ceil(S / hop)) on the CPU."""
        first = next(self.model.parameters())
        wave = nn.functional.pad(waveform, (0, -len(waveform) % self.hop_length))[None, None].to(first)
        if self.kind == "dac":
            codes = self.model.encode(wave, n_quantizers=self.levels).audio_codes[0]
        elif self.kind == "mimi":
            # below the semantic levels the codec refuses to stop
            least = max(self.levels, self.model.config.num_semantic_quantizers)
            codes = self.model.encode(wave, num_quantizers=least).audio_codes[0]
        else:
            codes = self.model.encode(wave, bandwidth=bandwidth_of(self.model.config, self.levels)).audio_codes
            codes = codes.reshape(-1, codes.shape[-1])  # EnCodec has an axis of chunks before the batch
        return codes[: self.levels, : wave.shape[-1] // self.hop_length].long().cpu()

    @torch.inference_mode()
    def decode(self, frames: torch.Tensor) -> torch.Tensor:
        """int64 (Q, N) -> float32 (N hop,), |x| <= 1, on the CPU; long sound in chunks, with what lies around them.

        Sound of DAC is the same as in one piece; that of codecs with recurrent or attending layers differs by what
        `CONTEXT_SECONDS` do not tell.
        """
        chunk, context = (max(1, round(seconds * self.frame_rate)) for seconds in (CHUNK_SECONDS, CONTEXT_SECONDS))
        pieces, count = [], frames.shape[1]
        for start in range(0, count, chunk):
            end = min(count, start + chunk)
            first, last = max(0, start - context), min(count, end + context)
            sound = self._decode(frames[:, first:last])
            wanted = (last - first) * self.hop_length
            sound = nn.functional.pad(sound[:wanted], (0, max(0, wanted - len(sound))))
            pieces.append(sound[(start - first) * self.hop_length : (end - first) * self.hop_length])
        return torch.cat(pieces).clamp(-1.0, 1.0).cpu()

    def _decode(self, frames: torch.Tensor) -> torch.Tensor:
        codes = frames[None].to(next(self.model.parameters()).device)
        if self.kind == "encodec":
            sound = self.model.decode(codes[None], [None]).audio_values
        elif self.kind == "dac":
            sound = self.model.decode(audio_codes=codes).audio_values
        else:
            sound = self.model.decode(codes).audio_values
        return sound.flatten().float()


def bandwidth_of(config: Any, levels: int) -> float:
    """The smallest bandwidth (kbit/s) of an EnCodec or X-Codec that has so many levels."""
    per_level = config.frame_rate * config.codebook_nbits / 1000
    return next(rate for rate in sorted(config.target_bandwidths) if rate // per_level >= levels)
