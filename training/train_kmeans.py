"""Stage 2: the code book of a speech or image tokenizer, k-means over the features of an encoder's layer.

Paper: AudioPaLM (arXiv 2306.12925, section 3.1): features as they are, since normalising them hurt.

    rows with "audio", in memory or streamed ─ FeatureUnits.features (T, D) each ─ StreamingKmeans ─ centroids (K, D)
    rows with "image", for an encoder of pictures ─ the features of their patches (h w, D) each ─┘

Only some batches of features are ever held, so the sound may be of any length. Utterances (or pictures) that cannot be used are passed over,
counted and listed in `skipped_rows.json`. Every `save_rows` utterances the state goes into `output_dir/checkpoints`; a run that
was cut off goes on from there, to the same centroids.

    python -m triglot.training.train_kmeans --dataset speech/ --encoder hubert/ --layer 6 --codebook-size 1000 --out units/
    python -m triglot.training.train_kmeans --dataset photos/ --encoder dinov2/ --layer 9 --codebook-size 1000 --out units/
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from ..command_output import run_script
from ..modeling.tokenizers.configuration_mfcc import MfccConfig
from ..modeling.tokenizers.modeling_feature_units import FeatureUnits
from ..modeling.tokenizers.modeling_mfcc import MfccEncoder
from ..processing.audio_io import load_audio
from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .data.load_rows import media_column, open_rows
from .data.picture_rows import read_picture
from .data.row_digests import dataset_digest
from .runs import (
    HOPELESS,
    MOST_LISTED,
    SKIPPED_FILE,
    add_settings,
    check_dtype,
    check_room,
    given_settings,
    open_run,
    save_whole,
    weight_bytes,
)
from .streaming_kmeans import StreamingKmeans

STATE_FILE = "kmeans.safetensors"
MFCC = "mfcc"  # in place of an encoder: the floor that learnt tokens are measured against


@dataclass(frozen=True)
class KmeansArguments:
    """Settings of `train_kmeans`."""

    codebook_size: int = 1024
    layer: int = 3  # 1 for the output of the first layer
    frame_rate: float = 25.0  # codes per second
    max_frames: int = 500_000  # of features seen, one a code; 5.6 h at 25 Hz, or 2,000 pictures of 16 x 16 patches
    batch_size: int = 4096  # frames of a k-means step; at least codebook_size are taken
    init_frames: int = 0  # that k-means++ sees; 0: 20 a code, but between three batches and 50,000
    deduplicate: bool = False
    downsample: str = "mean"  # or "stride"
    fit: str = "crop"  # pictures of another size than the encoder's; or "stretch" (for SigLIP and ViT), "pad"
    dtype: str = "float32"  # of the saved weights; or "float16"
    save_rows: int = 1000  # utterances between two saved states

    def __post_init__(self):
        check_dtype(self.dtype)
        for name, least in (("codebook_size", 1), ("batch_size", 1), ("init_frames", 0), ("save_rows", 1)):
            if getattr(self, name) < least:
                raise TriglotError(f"{name} is {getattr(self, name)}; at least {least} is needed.")
        if self.max_frames < self.codebook_size:
            raise TriglotError(
                f"max_frames is {self.max_frames} and codebook_size {self.codebook_size}; k-means needs at least as many "
                "frames as codes."
            )


def train_kmeans(
    dataset: Dataset | IterableDataset,
    encoder_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: KmeansArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Clusters an encoder's features and saves the finished `FeatureUnits`.

    Args:
        dataset: Rows with "audio", or "image" for an encoder of pictures: {"bytes": ..., "path": ...}, any format, rate and size. A `Dataset` is taken in random order, an
            `IterableDataset` as it comes (shuffle it before); until `max_frames` are there or it ends.
        encoder_dir: What `FeatureUnits.from_encoder` takes: a folder with an encoder and its feature extractor; or "mfcc" (layer 1).
        output_dir: Where the tokenizer goes and, under `checkpoints`, the state of the run.
        arguments: Settings; default: `KmeansArguments()`.
        seed: Of the order of the data and of k-means.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: fewer frames than codes, no such column, only unusable utterances (broken sound, features that are
            NaN), or a state of other settings.
        ValueError: the encoder has no such layer, or its rate and `frame_rate` have no whole ratio.
    """
    arguments = arguments or KmeansArguments()
    output_dir = Path(output_dir)
    floor = os.fspath(encoder_dir) == MFCC and not Path(MFCC).exists()
    units = FeatureUnits.from_encoder(
        MfccEncoder(MfccConfig()) if floor else encoder_dir,
        arguments.layer,
        arguments.frame_rate,
        downsample=arguments.downsample,
        deduplicate=arguments.deduplicate,
        fit=arguments.fit,
    )
    units.to("cuda" if torch.cuda.is_available() else "cpu")
    rows = media_column(dataset, "image" if units.sees else "audio")
    nothing = torch.zeros(1, units.config.feature_dim)
    encoder = units.compute_fingerprint({**units.state_dict(), "centroids": nothing})
    state = open_run(
        output_dir / "checkpoints",
        arguments,
        seed=seed,
        inputs={"encoder": encoder, "dataset": dataset_digest(dataset)},
        newest=_newest_state,
    )
    run = _Run(units, arguments, seed, output_dir)
    frames = 4 * units.config.feature_dim * (run.kmeans.init_frames + arguments.codebook_size)
    check_room(output_dir, weight_bytes(units) + 2 * frames, "the tokenizer and two states of the run")
    if state is not None:
        run.load(Path(state))
    run.take(rows)
    units.cpu().to(getattr(torch, arguments.dtype))
    units.set_centroids(run.finish().cpu())
    save_whole(units, output_dir, built_on={} if floor else {"encoder": encoder_dir})
    return output_dir


class _Run:
    """One run over the utterances or pictures: k-means, how many rows are done, and those that could not be used."""

    def __init__(self, units: FeatureUnits, arguments: KmeansArguments, seed: int, output_dir: Path):
        size, batch = arguments.codebook_size, max(arguments.batch_size, arguments.codebook_size)
        init = arguments.init_frames or max(3 * batch, min(20 * size, 50_000))
        self.units, self.arguments, self.seed, self.output_dir = units, arguments, seed, output_dir
        self.items = "pictures" if units.sees else "utterances"
        self.kmeans = StreamingKmeans(
            size,
            units.config.feature_dim,
            batch_size=batch,
            init_frames=min(init, arguments.max_frames),
            seed=seed,
            device=units.device,
        )
        self.rows = self.frames = self.samples = self.skipped = 0
        self.listed: list[dict[str, Any]] = []

    def take(self, rows: Dataset | IterableDataset) -> None:
        """Goes through the utterances that are left.

        Raises:
            TriglotError: the stream breaks (what was done is saved), or nothing in it can be used.
        """
        left = self.arguments.max_frames
        start, samples = time.monotonic(), self.samples
        with tqdm(desc="k-means", unit="frame", total=left, initial=self.frames) as bar:
            for number, row in self._numbered(rows):
                if self.frames >= left:
                    break
                try:
                    item = self._read(row)
                    features = self.units.features(item)[: left - self.frames]
                except (TriglotError, ValueError) as error:
                    self._skip(number, error)
                else:
                    self.kmeans.add(features)
                    self.frames += len(features)
                    self.samples += 0 if self.units.sees else len(item)
                    bar.update(len(features))
                self.rows += 1
                if self.rows % self.arguments.save_rows == 0:
                    self.save()
        hours, seconds = (self.samples - samples) / self.units.config.sampling_rate / 3600, time.monotonic() - start
        if hours:
            print(f"{hours:.2f} h of sound in {seconds / 60:.1f} min: {hours / seconds * 3600:.0f} h an hour")

    def _read(self, row: dict[str, Any]) -> torch.Tensor:
        """What the encoder takes."""
        if self.units.sees:
            return read_picture(row["image"], "image")
        return torch.from_numpy(load_audio(row["audio"], target_rate=self.units.config.sampling_rate, name="audio"))

    def finish(self) -> torch.Tensor:
        """The centroids; before that, the list of what was passed over."""
        if self.frames < self.arguments.max_frames:
            print(
                f"The rows ended after {self.rows} {self.items} and {self.frames} of {self.arguments.max_frames} frames."
            )
        if self.skipped:
            if not self.frames:
                self._give_up()
            file = self.output_dir / SKIPPED_FILE
            with whole_file(file) as partial:
                content = {self.items: self.rows, "skipped": self.skipped, "first": self.listed}
                partial.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
            print(f"{self.skipped} of {self.rows} {self.items} could not be used; {file} lists them.")
        return self.kmeans.finish()

    def _skip(self, number: int, error: Exception) -> None:
        self.skipped += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append({"row": number, "why": str(error)})
        if self.skipped == self.rows + 1 == HOPELESS:
            self._give_up()

    def _give_up(self) -> NoReturn:
        first = self.listed[0]
        raise TriglotError(
            f"None of the first {self.skipped} {self.items} can be used. Row {first['row']}: {first['why']}"
        )

    def _numbered(self, rows: Dataset | IterableDataset) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number in the dataset, row) of all utterances left; a `Dataset` in an order of its own."""
        if isinstance(rows, Dataset):
            for number in np.random.default_rng(self.seed).permutation(len(rows))[self.rows :]:
                yield int(number), rows[int(number)]
            return
        stream = enumerate(rows.skip(self.rows), self.rows)
        while True:
            try:
                number, row = next(stream)
            except StopIteration:
                return
            except Exception as error:  # of any kind: a shard that is cut off, a network that is gone
                self.save()
                raise TriglotError(
                    f"The stream broke after {self.rows} {self.items}: {error}. What was done is kept; the same call goes on."
                ) from error
            yield number, row

    def save(self) -> None:
        counts = {name: getattr(self, name) for name in ("rows", "frames", "samples", "skipped")}
        record = json.dumps({**counts, "listed": self.listed}, ensure_ascii=False)
        with whole_file(self.output_dir / "checkpoints" / STATE_FILE) as partial:
            save_file(self.kmeans.state(), partial, metadata={"run": record})

    def load(self, file: Path) -> None:
        try:
            with safe_open(file, "pt") as opened:
                record, names = json.loads(opened.metadata()["run"]), opened.keys()
                self.kmeans.load_state({name: opened.get_tensor(name) for name in names})
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TriglotError(f"{file} is no state of this run ({error}); delete it to start anew.") from error
        for name, value in record.items():
            setattr(self, name, value)


def _newest_state(checkpoints: Path) -> str | None:
    file = checkpoints / STATE_FILE
    return str(file) if file.is_file() else None


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--dataset", required=True, help="a folder of save_to_disk, or what datasets.load_dataset takes"
    )
    parser.add_argument("--split", default="train")
    parser.add_argument("--streaming", action="store_true", help="never the whole dataset on the disk")
    parser.add_argument("--shuffle-buffer", type=int, default=1000, help="rows that a stream is shuffled over")
    parser.add_argument(
        "--encoder",
        required=True,
        help="folder or Hub id of an encoder of speech or pictures and its feature extractor or image processor; or mfcc",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    add_settings(parser, KmeansArguments)
    arguments = parser.parse_args(argv)
    settings = given_settings(arguments, KmeansArguments)
    dataset = open_rows(arguments.dataset, arguments.split, streaming=arguments.streaming)
    if isinstance(dataset, IterableDataset):
        dataset = dataset.shuffle(seed=arguments.seed, buffer_size=arguments.shuffle_buffer)
    print(train_kmeans(dataset, arguments.encoder, arguments.out, settings, seed=arguments.seed))


if __name__ == "__main__":
    run_script(main)
