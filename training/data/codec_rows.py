"""Speech as what SoundStorm and AudioLM learn from: speech codes and a codec's codes of the same sound, by the same speaker.

    dataset {"audio", "speaker"} ─ one loudness ─ tokenizer ─▶ semantic (T,)
                                                 ─ codec ─────▶ acoustic (Q, N), N frames for T codes
    utterances of one speaker, one after another, cut to `most_codes` ─▶ stretches: a sentence has another in front, as a prompt

Encoded once and kept in a folder; a run that is started again reads them.
"""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset, load_from_disk
from torch.nn import functional as F
from tqdm.auto import tqdm

from ...modeling.decoders.codec_token_decoder import CodecTokenDecoder
from ...modeling.decoders.speech_signal import log_mel
from ...modeling.tokenizers.media_tokenizer import MediaTokenizer
from ...processing.audio_io import load_audio, resample
from ...processing.errors import TriglotError
from ...processing.whole_files import whole_folder
from ..train_codec import mel_settings

MADE_FROM = "made_from.json"  # in the folder: the fingerprints that the codes belong to


def codec_rows(
    dataset: Dataset, tokenizer: MediaTokenizer, decoder: CodecTokenDecoder, folder: str | os.PathLike
) -> Dataset:
    """Encodes the sound of a dataset, or reads what was encoded before.

    Args:
        dataset: Columns "audio" and "speaker".
        tokenizer: Speech tokenizer without deduplication.
        decoder: Has the codec, the rates and the loudness.
        folder: Where the rows are kept.

    Returns:
        Rows {"semantic": (T,), "acoustic": (Q, N), "speaker": str, "colour": mean log-mel}, utterances cut to whole blocks.

    Raises:
        TriglotError: missing columns, no rows, codes that do not fit the sound, or a folder of other tokenizers' codes.
    """
    missing = {"audio", "speaker"} - set(dataset.column_names)
    if missing or not len(dataset):
        raise TriglotError(
            f"The dataset has {len(dataset)} rows of {dataset.column_names}; rows with audio and speaker are needed."
        )
    config, folder = decoder.config, Path(folder)
    made_from = {"tokenizer": tokenizer.fingerprint, "codec": config.codec_fingerprint, "rows": len(dataset)}
    if (folder / MADE_FROM).is_file():
        before = json.loads((folder / MADE_FROM).read_text(encoding="utf-8"))
        if before != made_from:
            raise TriglotError(
                f"{folder} holds codes made from {before}; these are {made_from}. Delete it or choose another folder."
            )
        return load_from_disk(str(folder))
    rows: dict[str, list] = defaultdict(list)
    rate, aligner = config.sampling_rate, decoder.aligner
    mel = mel_settings(rate)
    for index, row in enumerate(
        tqdm(dataset.select_columns(["audio", "speaker"]), desc="codes of the codec", unit="utterance")
    ):
        wave = torch.from_numpy(load_audio(row["audio"], target_rate=rate, name=f"audio of row {index}"))
        wave = decoder.normalise_level(wave)
        heard = torch.from_numpy(resample(wave.numpy(), rate, tokenizer.sampling_rate or rate))
        [semantic] = tokenizer.encode([heard])
        if abs(len(semantic) - len(wave) / decoder.samples_per_code) > 1:
            raise TriglotError(
                f"Row {index} lasts {len(wave) / rate:.2f} s and has {len(semantic)} codes; {config.frame_rate:g} a second are "
                "needed: switch the tokenizer's deduplication off."
            )
        blocks = min(len(semantic), len(wave) // decoder.samples_per_code) // aligner.block_codes
        if not blocks:
            continue
        acoustic = decoder.codec.encode(wave)[:, : blocks * aligner.block_frames]
        rows["semantic"].append(semantic[: blocks * aligner.block_codes].tolist())
        rows["acoustic"].append(acoustic.tolist())
        rows["speaker"].append(row["speaker"])
        rows["colour"].append(log_mel(wave, mel).mean(0).tolist())
    made = Dataset.from_dict(dict(rows))
    with whole_folder(folder) as partial:
        made.save_to_disk(str(partial))
        (partial / MADE_FROM).write_text(json.dumps(made_from), encoding="utf-8")
    return load_from_disk(str(folder))


class SpeakerStretches(torch.utils.data.Dataset):
    """Stretches of speech by one speaker, {"semantic": (T,), "acoustic": (Q, N)}, T at most `most_codes`.

    Args:
        rows: Of `codec_rows`.
        decoder: Knows the blocks.
        most_codes: Codes of the longest stretch.
    """

    def __init__(self, rows: Dataset, decoder: CodecTokenDecoder, most_codes: int):
        block = decoder.aligner.block_codes
        self.codes, self.frames = max(1, most_codes // block) * block, decoder.aligner.frames
        self.semantic = [torch.tensor(item, dtype=torch.int32) for item in rows["semantic"]]
        self.acoustic = [torch.tensor(item, dtype=torch.int32) for item in rows["acoustic"]]
        self.block = block
        speakers: dict[str, list[int]] = defaultdict(list)
        for index, speaker in enumerate(rows["speaker"]):
            speakers[speaker].append(index)
        self.group = [speakers[speaker] for speaker in rows["speaker"]]

    def __len__(self) -> int:
        return len(self.semantic)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        others = [other for other in self.group[index] if other != index]
        order = [others[place] for place in torch.randperm(len(others)).tolist()]
        chosen, length = [index], len(self.semantic[index])
        while order and length < self.codes:
            chosen.insert(0, order.pop())
            length += len(self.semantic[chosen[0]])
        semantic = torch.cat([self.semantic[place] for place in chosen])
        acoustic = torch.cat([self.acoustic[place] for place in chosen], 1)
        start = int(torch.randint(max(0, len(semantic) - self.codes) // self.block + 1, ())) * self.block
        end = min(len(semantic), start + self.codes)
        return {
            "semantic": semantic[start:end].long(),
            "acoustic": acoustic[:, self.frames(start) : self.frames(end)].long(),
        }

    def collate(self, items: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Padded at the end with 0: {"semantic": (B, T), "acoustic": (B, Q, N), "lengths": (B,)}."""
        longest = max(len(item["semantic"]) for item in items)
        return {
            "semantic": torch.stack([F.pad(item["semantic"], (0, longest - len(item["semantic"]))) for item in items]),
            "acoustic": torch.stack(
                [F.pad(item["acoustic"], (0, self.frames(longest) - item["acoustic"].shape[1])) for item in items]
            ),
            "lengths": torch.tensor([item["acoustic"].shape[1] for item in items]),
        }


def most_ordinary(rows: Dataset, least_codes: int) -> int:
    """The row of at least so many codes whose mean spectrum is nearest to that of all; of any length where none is that long."""
    colour = torch.tensor(rows["colour"])
    distance = (colour - colour.mean(0)).square().sum(1)
    long = torch.tensor([len(item) >= least_codes for item in rows["semantic"]])
    return int(distance.masked_fill(~long, torch.inf).argmin() if bool(long.any()) else distance.argmin())
