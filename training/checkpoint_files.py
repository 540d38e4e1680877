"""What lies in a checkpoint's folder, without loading it: how large its parts are, and a digest that tells two checkpoints apart."""

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

CHUNK = 2**24  # bytes read at once


@dataclass(frozen=True)
class WeightFiles:
    """The weights of one folder.

    Attributes:
        numbers: How many, buffers included, tied ones once.
        bytes: Of the files.
        dtypes: Their types as safetensors writes them, sorted: ("BF16",).
    """

    numbers: int
    bytes: int
    dtypes: tuple[str, ...]


def weight_files(folder: str | os.PathLike) -> WeightFiles | None:
    """The weights that lie in the folder itself; None where there are none."""
    files = sorted(Path(folder).glob("*.safetensors"))
    numbers, dtypes = 0, set()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_slice(name)
                numbers += math.prod(tensor.get_shape())
                dtypes.add(tensor.get_dtype())
    return WeightFiles(numbers, sum(file.stat().st_size for file in files), tuple(sorted(dtypes))) if files else None


def weights_digest(folder: str | os.PathLike) -> str | None:
    """sha256 (hex) over the weights of a checkpoint and of its components; None where there is no such folder, or no weights in it."""
    root = Path(folder)
    files = sorted(path for pattern in ("*.safetensors", "*/*.safetensors") for path in root.glob(pattern))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        with open(path, "rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
    return digest.hexdigest() if files else None
