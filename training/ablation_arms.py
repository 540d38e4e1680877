"""One arm of an ablation: a small language model of given tasks, tokens and steps, trained and asked, once for each seed.

    audio rows ─ each speech tokenizer ─▶ tokens/NAME/train, tokens/NAME/test       or token rows that are there already
    token rows ─ [train_text_lm ─] train_lm ─ answer_tokens ─▶ ARM/seed-0/arm.json      whole or absent: what is there is not done again

Once the tokens are there, an arm needs torch, transformers and pyarrow alone.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..modeling.tokenizers.media_tokenizer import MediaTokenizer, weights_fingerprint
from ..processing.errors import TriglotError
from ..processing.whole_files import whole_file
from .data.mixture import MIXTURE_FILE, read_mixture, read_mixture_file
from .data.token_shards import read_rows
from .evaluate_models import load_judge
from .load_parts import load_speech_decoder, load_speech_tokenizer
from .run_report import SUMMARY_FILE
from .runs import FREE_SETTINGS, plain_settings
from .token_answers import answer_tokens, check_answerable
from .train_lm import LmArguments, make_processor, train_lm
from .train_text_lm import train_text_lm

SMALL = LmArguments(
    hidden_size=192, num_hidden_layers=4, num_attention_heads=6, intermediate_size=512, look_back_heads=2, qk_norm=True,
    rope_theta=500.0, init="centroids", optimizer="muon", learning_rate=2e-3, batch_size=5, pack_length=432, warmup_steps=100,
    decay_steps=600, tasks="ASR", image_codes=0, packed_attention=True,
)  # fmt: skip
SHARD_ROWS = 500
PARTS = ("train", "test")
NEEDED = ("audio", "transcript", "source_language")  # columns of audio rows
KEPT = (
    "translated_transcript",
    "target_language",
    "speaker",
)  # further ones that token rows hold, where they are there
TEXTS = ("text_source", "text_target", "source_language", "target_language")  # columns that a text LM reads
ARM_FILE, KEY_FILE, TOKENS_FILE = "arm.json", "key.json", "tokens.json"


@dataclass(frozen=True)
class Arm:
    """What one small model is.

    Attributes:
        name: Of its folder and in the tables.
        tokenizer: Name of its speech tokenizer.
        arguments: Of `train_lm`, tasks among them.
        asked: Keys of EVALUATION_TASKS.
        text_steps: Above 0: it starts from a text LM of its size that was trained so many steps.
    """

    name: str
    tokenizer: str
    arguments: LmArguments
    asked: tuple[str, ...]
    text_steps: int = 0

    def __post_init__(self):
        check_answerable(self.asked)

    @property
    def text_arguments(self) -> LmArguments:
        """Of `train_text_lm`."""
        return with_steps(self.arguments, self.text_steps)


def with_steps(arguments: LmArguments, steps: int) -> LmArguments:
    """The same with so many steps, the decay in proportion."""
    decay = round(arguments.decay_steps * steps / max(1, arguments.max_steps))
    return dataclasses.replace(arguments, max_steps=steps, decay_steps=decay)


class Workplace:
    """The folder of an ablation and what all of its arms share.

    Args:
        output_dir: The folder.
        tokenizers: {name: folder of a speech tokenizer with a code book}.
        text_tokenizer_dir: A fast tokenizer.
        rows, test_rows: `datasets.Dataset` with the columns `NEEDED`, for tokens that are not there yet.
        tokens, test_tokens: {name of a tokenizer: folder of token rows}, where they are there already.
        text_rows_dir: Folder of further token rows whose texts a text LM reads; None for those of the arm's rows alone.
        limit: Most questions of each task and direction; None for all.
        batch_size: Questions at a time.
        workers: Processes that encode.
        judge_dir, decoder_dir: Of a recogniser and of a speech decoder for the first tokenizer's codes, for arms that speak.
        seed: Of the choice under `limit`.

    Raises:
        TriglotError: no tokenizer, a folder without one, token rows of a tokenizer that is not named, columns that are missing,
            a judge without a decoder.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        tokenizers: Mapping[str, str | os.PathLike],
        text_tokenizer_dir: str | os.PathLike,
        *,
        rows: Any = None,
        test_rows: Any = None,
        tokens: Mapping[str, str | os.PathLike] | None = None,
        test_tokens: Mapping[str, str | os.PathLike] | None = None,
        text_rows_dir: str | os.PathLike | None = None,
        limit: int | None = None,
        batch_size: int = 32,
        workers: int = 1,
        seed: int = 0,
        judge_dir: str | os.PathLike | None = None,
        decoder_dir: str | os.PathLike | None = None,
    ):
        if not tokenizers:
            raise TriglotError("No tokenizer is given; name at least one.")
        self.output_dir, self.text_tokenizer_dir = Path(output_dir), text_tokenizer_dir
        self.folders = {name: os.fspath(folder) for name, folder in tokenizers.items()}
        self.tokenizers = {name: load_speech_tokenizer(folder) for name, folder in tokenizers.items()}
        self.audio = dict(zip(PARTS, (rows, test_rows)))
        self.given = dict(zip(PARTS, (dict(tokens or {}), dict(test_tokens or {}))))
        self.limit, self.batch_size, self.workers, self.seed = limit, batch_size, workers, seed
        self.text_rows_dir = text_rows_dir
        self.judge = None if judge_dir is None else load_judge(judge_dir)
        self.decoder = None if decoder_dir is None else load_speech_decoder(decoder_dir)
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._digests: dict[tuple[str, str], str] = {}
        for part, dataset in self.audio.items():
            if dataset is not None and (missing := sorted(set(NEEDED) - set(dataset.column_names))):
                raise TriglotError(
                    f"The {part} rows lack {', '.join(missing)}; they have {', '.join(dataset.column_names)}."
                )
        if strange := sorted({name for given in self.given.values() for name in given} - set(tokenizers)):
            raise TriglotError(f"Token rows of {strange[0]!r} are given; the tokenizers are {', '.join(tokenizers)}.")
        if (self.judge is None) != (self.decoder is None):
            raise TriglotError("A judge and a speech decoder are needed together: one speaks what the other reads.")

    # ---- token rows

    def make_tokens(self, name: str) -> None:
        """Makes all token rows of a tokenizer that are not there; see `tokens_of`."""
        for part in PARTS:
            self.tokens_of(name, part)

    def tokens_of(self, name: str, part: str) -> Path:
        """The folder of a tokenizer's token rows, made if need be.

        Raises:
            TriglotError: there are none and no audio to make them of, or they were made of other rows or by another tokenizer.
        """
        if name in self.given[part]:
            return Path(self.given[part][name])
        folder, audio = self.output_dir / "tokens" / name / part, self.audio[part]
        done, fingerprint = folder / TOKENS_FILE, self.tokenizers[name].fingerprint
        facts = {"tokenizer": fingerprint, **({} if audio is None else {"rows": self._audio_digest(part)})}
        if done.is_file():
            before = json.loads(done.read_text(encoding="utf-8"))
            if any(before[key] != value for key, value in facts.items()):
                raise TriglotError(
                    f"{folder} holds tokens of other rows or another tokenizer; choose another output_dir, or delete it."
                )
            return folder
        if audio is None:
            option = "--rows" if part == "train" else "--test-rows"
            raise TriglotError(f"There are no {part} token rows of {name!r} in {folder}; give audio rows ({option}).")
        from .data.token_rows import DatasetRows, write_shards  # asks for `datasets`, which reading tokens does not

        print(f"[tokens] {folder}")
        make_rows = DatasetRows(str(self._plain(part)), self.folders[name])
        write_shards(folder, len(audio), SHARD_ROWS, make_rows, workers=self.workers)
        with whole_file(done) as partial:
            partial.write_text(json.dumps(facts), encoding="utf-8")
        return folder

    def _plain(self, part: str) -> Path:
        """The columns that become tokens, on disk."""
        folder, audio = self.output_dir / "rows" / part, self.audio[part]
        if not folder.exists():
            kept = [
                name
                for name in (*NEEDED, *KEPT, *(["translated_audio"] if self.judge else []))
                if name in audio.column_names
            ]
            audio.select_columns(kept).save_to_disk(str(folder))
        return folder

    def _audio_digest(self, part: str) -> str:
        """Names audio rows by their words."""
        return hashlib.sha256("\n".join(map(str, self.audio[part]["transcript"])).encode()).hexdigest()

    def rows_of(self, name: str, part: str) -> list[dict[str, Any]]:
        """The token rows themselves.

        Raises:
            TriglotError: see `tokens_of`; also codes of another tokenizer.
        """
        if (name, part) not in self._rows:
            self._rows[name, part] = _read(self.tokens_of(name, part), self.tokenizers[name])
        return self._rows[name, part]

    def digest(self, name: str, part: str) -> str:
        """Names token rows by their content."""
        if (name, part) not in self._digests:
            self._digests[name, part] = _digest(self.rows_of(name, part))
        return self._digests[name, part]

    @cached_property
    def text_rows(self) -> list[dict[str, Any]]:
        """Further rows of text for a text LM."""
        rows = [] if self.text_rows_dir is None else read_rows(self.text_rows_dir)
        return [{key: row.get(key) for key in TEXTS} for row in rows]

    def check_same_words(self, name: str, other: str) -> None:
        """Whether two tokenizers' token rows hold the same sentences: what else would the tokens be compared by?

        Raises:
            TriglotError: they do not.
        """
        for part in PARTS:
            said, also = (
                [row.get("text_source") for row in self.rows_of(one, part) if row.get("speech_source")]
                for one in (name, other)
            )
            if said != also:
                raise TriglotError(
                    f"The {part} token rows of {name!r} and {other!r} hold other sentences ({len(said)} and {len(also)} spoken ones); "
                    "make both of the same audio rows."
                )

    def languages(self, name: str) -> str:
        """ISO codes of all rows, as `LmArguments.languages`."""
        rows = [row for part in PARTS for row in self.rows_of(name, part)]
        return " ".join(
            sorted({row[key] for row in rows for key in ("source_language", "target_language") if row.get(key)})
        )

    # ---- arms

    def folder(self, arm: Arm, seed: int) -> Path:
        """Of one model."""
        return self.output_dir / arm.name / f"seed-{seed}"

    def seeds_of(self, arm: Arm) -> list[int]:
        """Those that an arm is finished with."""
        places = self.output_dir.glob(f"{arm.name}/seed-*/{ARM_FILE}")
        return sorted(int(place.parent.name.removeprefix("seed-")) for place in places)

    def finished(self, arm: Arm, seed: int) -> dict[str, Any] | None:
        """What an arm found, or None.

        Raises:
            TriglotError: its folder holds a run with other settings.
        """
        folder = self.folder(arm, seed)
        kept = folder / KEY_FILE
        if kept.is_file() and json.loads(kept.read_text(encoding="utf-8")) != self._key(arm, seed):
            raise TriglotError(f"{folder} holds a run with other settings; choose another output_dir, or delete it.")
        done = folder / ARM_FILE
        return json.loads(done.read_text(encoding="utf-8")) if done.is_file() else None

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Trains and asks one model, unless that was done before.

        Returns:
            {"name", "tokenizer", "tasks", "steps", "text_steps", "epochs", "minutes", "device", "seed", "items"}.

        Raises:
            TriglotError: its folder holds a run with other settings; tasks or questions without data.
        """
        if (before := self.finished(arm, seed)) is not None:
            print(f"[{arm.name}, seed {seed}] finished before")
            return before
        folder, start = self.folder(arm, seed), time.monotonic()
        print(f"[{arm.name}, seed {seed}] {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / KEY_FILE) as partial:
            partial.write_text(json.dumps(self._key(arm, seed)), encoding="utf-8")
        languages, rows = self.languages(arm.tokenizer), self.rows_of(arm.tokenizer, "train")
        arguments = dataclasses.replace(arm.arguments, languages=languages)
        if arm.text_steps:
            text = dataclasses.replace(arm.text_arguments, languages=languages)
            if not (folder / "text_lm" / "config.json").is_file():
                train_text_lm([*rows, *self.text_rows], self.text_tokenizer_dir, folder / "text_lm", text, seed=seed)
            arguments = dataclasses.replace(arguments, text_model=str(folder / "text_lm"))
        if not (folder / "lm" / "config.json").is_file():
            spoken = [row for row in rows if row.get("speech_source")]
            units = self.folders[arm.tokenizer]
            train_lm(spoken, self.text_tokenizer_dir, units, folder / "lm", arguments, seed=seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = TriglotForConditionalGeneration.from_pretrained(folder / "lm", dtype=torch.float32).to(device).eval()
        size = model.config.modalities[0]["size"]
        processor = make_processor(self.text_tokenizer_dir, self.tokenizers[arm.tokenizer], size, arguments)
        if self.decoder is not None and arm.tokenizer == next(iter(self.tokenizers)):
            processor.codecs.speech_decoder = self.decoder
            processor.to(device)
        summary = json.loads((folder / "lm" / "checkpoints" / SUMMARY_FILE).read_text(encoding="utf-8"))
        found = {
            "name": arm.name,
            "tokenizer": arm.tokenizer,
            "tasks": arguments.tasks,
            "steps": arguments.max_steps,
            "text_steps": arm.text_steps,
            "epochs": summary["epochs"],
            "seed": seed,
            "items": answer_tokens(
                model, processor, self.rows_of(arm.tokenizer, "test"), arm.asked,
                limit=self.limit, batch_size=self.batch_size, seed=self.seed, judge=self.judge,
            ),
            "minutes": round((time.monotonic() - start) / 60, 2),  # since it was last started
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        }  # fmt: skip
        with whole_file(folder / ARM_FILE) as partial:
            partial.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
        for checkpoint in folder.glob("*/checkpoints/checkpoint-*"):  # thrice the model's size, and no longer needed
            shutil.rmtree(checkpoint)
        return found

    def _key(self, arm: Arm, seed: int) -> dict[str, Any]:
        """What the arm's answers follow from."""
        parts = {part: self.digest(arm.tokenizer, part) for part in PARTS}
        settings = plain_settings(arm.arguments)
        speaks = any(task.speaks for task in check_answerable(arm.asked).values())
        return {
            "lm": {name: value for name, value in settings.items() if name not in FREE_SETTINGS}, "text_steps": arm.text_steps, "asked": list(arm.asked), "seed": seed,
            "limit": self.limit, "chosen_by": self.seed, "tokenizer": self.tokenizers[arm.tokenizer].fingerprint, **parts,
            "text_tokenizer": self._text_digest, **(self._voices if speaks else {}),
            **({"text_rows": self._text_rows_digest} if arm.text_steps and self.text_rows else {}),
        }  # fmt: skip

    @cached_property
    def _text_rows_digest(self) -> str:
        return _digest(self.text_rows)

    @cached_property
    def _voices(self) -> dict[str, str]:
        """Names the decoder and the judge by their weights."""
        parts: dict[str, Any] = {"decoder": self.decoder, "judge": getattr(self.judge, "model", self.judge)}
        return {what: weights_fingerprint(part.state_dict(), {}) for what, part in parts.items() if part is not None}

    @cached_property
    def _text_digest(self) -> str:
        file = Path(self.text_tokenizer_dir) / "tokenizer.json"
        if not file.is_file():
            raise TriglotError(f"There is no {file}; a fast text tokenizer is needed.")
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _read(folder: Path, tokenizer: MediaTokenizer) -> list[dict[str, Any]]:
    """Token rows of a stage or of `triglot tokenize`."""
    mixed = (folder / MIXTURE_FILE).is_file()
    if mixed and read_mixture_file(folder)["tokenizer"] != tokenizer.fingerprint:
        raise TriglotError(f"{folder} holds codes of another tokenizer than that of its name.")
    rows = read_mixture(folder) if mixed else read_rows(folder)
    highest = max((max(row["speech_source"]) for row in rows if row.get("speech_source")), default=-1)
    if not 0 <= highest < (tokenizer.codebook_size or 0):
        raise TriglotError(
            f"{folder} holds codes up to {highest}; those of the tokenizer are 0 to {(tokenizer.codebook_size or 0) - 1}."
        )
    return rows


def _digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Names token rows by their content."""
    content = hashlib.sha256()
    for row in rows:
        content.update(json.dumps([row.get(key) for key in ("speech_source", "text_source", "text_target")]).encode())
    return content.hexdigest()


def results_of(results: Sequence[Mapping[str, Any]], task: str) -> list[list[dict[str, Any]]]:
    """The items of one task, a list a seed."""
    return [[item for item in result["items"] if item["task"] == task] for result in results]
