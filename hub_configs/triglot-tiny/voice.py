"""Voice: how someone sounds, as a decoder needs to know it. Computed once from a prompt, kept in a file, used again.

    waveform ─ SpeechDecoder.voice_from_waveform ─▶ Voice ─ save, load ─▶ Voice ─ SpeechDecoder.decode(voices=[...])

What a voice holds is the decoder's affair: statistics of a spectrum, a speaker embedding, codes of a prompt. Its `kind` says
which, so that no decoder hears another's.
"""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

HEADER = "triglot_voice"  # the entry of a file's metadata that makes it one of ours


@dataclass(frozen=True)
class Voice:
    """How one person sounds.

    Attributes:
        kind: What the tensors are, e.g. "spectral_statistics" or "codec_prompt"; decoders of one kind share voices.
        tensors: By name; on the CPU.
        fingerprint: Of the code books that the tensors' codes belong to; "" where they hold none.
    """

    kind: str
    tensors: Mapping[str, torch.Tensor] = field(repr=False)
    fingerprint: str = ""

    def save(self, path: str | os.PathLike) -> Path:
        """Writes a safetensors file, whole or not at all.

        Raises:
            ValueError: the name does not end in .safetensors, or the file cannot be written.
        """
        target = Path(path)
        if target.suffix != ".safetensors":
            raise ValueError(f"A voice is kept as safetensors; {target.name!r} should end in .safetensors.")
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        header = {HEADER: json.dumps({"kind": self.kind, "fingerprint": self.fingerprint})}
        try:
            save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, partial, header)
            os.replace(partial, target)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"The voice cannot be written to {os.fspath(path)!r}: {error}.") from error
        finally:
            partial.unlink(missing_ok=True)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Voice":
        """Reads what `save` wrote.

        Raises:
            ValueError: no such file, or something else in it.
        """
        try:
            with safe_open(os.fspath(path), framework="pt") as file:
                header = json.loads((file.metadata() or {}).get(HEADER, "null"))
                names = file.keys()  # it is no mapping, and knows no other way
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise ValueError(f"{os.fspath(path)!r} holds no voice: {error}.") from error
        if not isinstance(header, dict) or not {"kind", "fingerprint"} <= set(header):
            raise ValueError(f"{os.fspath(path)!r} holds tensors but no voice; make one with `triglot voice`.")
        return cls(str(header["kind"]), tensors, str(header["fingerprint"]))
