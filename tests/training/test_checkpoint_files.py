"""Sizes and digests of the weights in a folder, without loading them."""

import torch
from safetensors.torch import save_file

from triglot.training.checkpoint_files import weight_files, weights_digest


def test_sizes_and_digests(tmp_path):
    assert (
        weight_files(tmp_path) is None
        and weights_digest(tmp_path) is None
        and weights_digest("nowhere/at-all") is None
    )
    save_file({"a": torch.zeros(3, 4), "b": torch.tensor(1.0)}, tmp_path / "model-1.safetensors")
    save_file({"c": torch.zeros(5, dtype=torch.float16)}, tmp_path / "model-2.safetensors")
    (tmp_path / "part").mkdir()
    save_file({"d": torch.zeros(7)}, tmp_path / "part" / "model.safetensors")
    found = weight_files(tmp_path)
    assert (found.numbers, found.dtypes) == (18, ("F16", "F32"))
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))

    before = weights_digest(tmp_path)
    (tmp_path / "README.md").write_text("no weight")
    assert weights_digest(tmp_path) == before
    save_file({"d": torch.ones(7)}, tmp_path / "part" / "model.safetensors")
    changed = weights_digest(tmp_path)
    (tmp_path / "part").rename(tmp_path / "other")
    assert len({before, changed, weights_digest(tmp_path)}) == 3
