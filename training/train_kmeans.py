"""Stage 2: the code book of a speech tokenizer, k-means over the features of an encoder's layer.

Paper: AudioPaLM (arXiv 2306.12925, section 3.1): features as they are, since normalising them hurt.

    datasets.Dataset with "audio" ─ FeatureUnits.features (T, D) each ─ (frames, D) ─ MiniBatchKMeans ─ centroids (K, D)
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sklearn.cluster import MiniBatchKMeans
from tqdm.auto import tqdm

from ..modeling.tokenizers.modeling_feature_units import FeatureUnits
from ..processing.errors import TriglotError
from .runs import save_whole
from .train_encoder import WaveformDataset

DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class KmeansArguments:
    """Settings of `train_kmeans`."""

    codebook_size: int = 1024
    layer: int = 3  # 1 for the output of the first layer
    frame_rate: float = 25.0  # codes per second
    max_frames: int = 500_000  # of features kept for k-means; 5.6 h at 25 Hz
    batch_size: int = 4096  # frames of a k-means step
    deduplicate: bool = False
    downsample: str = "mean"  # or "stride"
    dtype: str = "float32"  # of the saved weights; or "float16"


def train_kmeans(
    dataset: Dataset,
    encoder_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    arguments: KmeansArguments | None = None,
    *,
    seed: int = 0,
) -> Path:
    """Clusters an encoder's features and saves the finished `FeatureUnits`.

    Args:
        dataset: Rows with "audio": {"bytes": ..., "path": ...}; taken in random order until `max_frames` are there.
        encoder_dir: What `FeatureUnits.from_encoder` takes: a folder with an encoder and its feature extractor.
        output_dir: Where the tokenizer goes.
        arguments: Settings; default: `KmeansArguments()`.
        seed: Of the order of the data and of k-means.

    Returns:
        `output_dir`, complete.

    Raises:
        TriglotError: fewer frames than codes, features that are NaN, a broken sound file, or an unknown dtype.
        ValueError: the encoder has no such layer, or its rate and `frame_rate` have no whole ratio.
    """
    arguments = arguments or KmeansArguments()
    if arguments.dtype not in DTYPES:
        raise TriglotError(f"dtype is {arguments.dtype!r}; allowed is {' or '.join(DTYPES)}.")
    if arguments.codebook_size < 1:
        raise TriglotError(f"codebook_size is {arguments.codebook_size}; at least 1 is needed.")
    if arguments.max_frames < arguments.codebook_size:
        raise TriglotError(
            f"max_frames is {arguments.max_frames} and codebook_size {arguments.codebook_size}; k-means needs at least "
            "as many frames as codes."
        )
    units = FeatureUnits.from_encoder(
        encoder_dir,
        arguments.layer,
        arguments.frame_rate,
        downsample=arguments.downsample,
        deduplicate=arguments.deduplicate,
    )
    units.to("cuda" if torch.cuda.is_available() else "cpu")
    waveforms = WaveformDataset(dataset, units.config.sampling_rate)
    frames = collect_features(units, waveforms, arguments.max_frames, seed)
    if len(frames) < arguments.codebook_size:
        raise TriglotError(
            f"{len(waveforms)} utterances give {len(frames)} frames, fewer than the {arguments.codebook_size} codes asked "
            "for; give more sound or a smaller codebook_size."
        )
    kmeans = MiniBatchKMeans(
        n_clusters=arguments.codebook_size,
        init="k-means++",
        n_init=3,
        batch_size=arguments.batch_size,
        init_size=3 * max(arguments.batch_size, arguments.codebook_size),
        compute_labels=False,
        random_state=seed,
    ).fit(frames)
    units.cpu().to(DTYPES[arguments.dtype])
    units.set_centroids(torch.from_numpy(np.ascontiguousarray(kmeans.cluster_centers_, dtype=np.float32)))
    output_dir = Path(output_dir)
    save_whole(units, output_dir)
    return output_dir


def collect_features(units: FeatureUnits, waveforms: WaveformDataset, max_frames: int, seed: int = 0) -> np.ndarray:
    """Features of randomly chosen utterances, float32 (frames, D), at most `max_frames`.

    Raises:
        TriglotError: features that are NaN or infinite, or an utterance too short for the encoder.
    """
    order = np.random.default_rng(seed).permutation(len(waveforms))
    pieces: list[np.ndarray] = []
    count = 0
    for index in tqdm(order, desc="features", unit="utterance"):
        waveform = waveforms[int(index)]
        try:
            piece = units.features(waveform).cpu().numpy()
        except ValueError as error:
            raise TriglotError(f"Row {index} of the dataset cannot be used: {error}") from error
        pieces.append(piece[: max_frames - count])
        count += len(pieces[-1])
        if count >= max_frames:
            break
    return np.concatenate(pieces)
