"""`triglot train RECIPE`: runs the stages of a recipe in order, each once, going on where an earlier run was cut off.

    data -> text_tokenizer -> encoder -> kmeans -> decoder -> tokens -> lm -> lm_more -> checkpoint
                                               -> codec -> soundstorm, audiolm          speaker_encoder, image_tokenizer, image_dvae
                                               -> code_hifigan, mel_diffusion        -> text_to_unit
                                               -> mel_hifigan -> fastspeech2 -> fastspeech2_finetuned
    image_tokenizer or image_dvae -> image_diffusion, image_gan -> image_super_resolution     autoencoder_kl -> latent_diffusion

A recipe is a YAML file: `output_dir`, `seed`, and one mapping a stage, whose keys are the fields of the stage's arguments.
The stages below the first line and `lm_more` run only where the recipe names them. `lm_more` goes on with the language model; what it does
not say is as in `lm`. `license: apache-2.0` goes into the checkpoint's card. `speech_decoder: soundstorm` puts that one into the checkpoint,
and where it is not `decoder`, that stage runs only where it is named; where no task of the language model writes speech, `text_to_unit`
goes into the checkpoint and speaks for it;
`spoken_text:` stands in place of `data:` where the sentences come from text files;
`speech_tokenizer: FOLDER` takes a tokenizer that is there already, instead of the stages encoder and kmeans, and so does
`image_tokenizer: FOLDER`; `image_decoder: image_diffusion` puts that one into the checkpoint; and a recipe without
a stage `lm` that has one of these makes its parts and no checkpoint. Every stage has a folder in `output_dir`; a finished one holds
`stage.json` and is not run again.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState

from ..processing.errors import TriglotError
from ..processing.languages import language_name
from ..processing.task_formats import TASKS, parse_chain
from ..processing.whole_files import whole_file
from .assemble import assemble_checkpoint
from .card_record import CardRecord, Part, Run, read_record
from .data.demo_world import DemoWorldArguments, demo_world, sentences_of
from .data.splits import training_sentences
from .data.spoken_text import SpokenTextArguments, SpokenTextRows, parallel_sentences, spoken_text
from .data.token_rows import DatasetRows, DemoWorldRows, TokensArguments, write_shards
from .data.token_shards import read_rows
from .licences import check_licence
from .ranks import rank_and_ranks, wait_until
from .recipe import parse_arguments
from .run_report import read_facts
from .runs import hardware, plain_settings, with_later_settings
from .train_audiolm import AudioLmArguments, train_audiolm
from .train_autoencoder_kl import AutoencoderKlArguments, train_autoencoder_kl
from .train_code_hifigan import CodeHifiGanArguments, train_code_hifigan
from .train_codec import CodecArguments, train_codec
from .train_decoder import DecoderArguments, train_decoder
from .train_encoder import EncoderArguments, train_encoder
from .train_fastspeech2 import FastSpeech2Arguments, train_fastspeech2
from .train_image_diffusion import ImageDiffusionArguments, train_image_diffusion
from .train_image_dvae import ImageDvaeArguments, train_image_dvae
from .train_image_gan import ImageGanArguments, train_image_gan
from .train_image_super_resolution import ImageSuperResolutionArguments, train_image_super_resolution
from .train_image_vqvae import ImageVqvaeArguments, train_image_vqvae
from .train_kmeans import KmeansArguments, train_kmeans
from .train_latent_diffusion import LatentDiffusionArguments, train_latent_diffusion
from .train_lm import LmArguments, train_lm
from .train_mel_diffusion import MelDiffusionArguments, train_mel_diffusion
from .train_mel_hifigan import FinetuneArguments, MelHifiGanArguments, finetune_vocoder, train_mel_hifigan
from .train_soundstorm import SoundStormArguments, train_soundstorm
from .train_speaker_encoder import SpeakerEncoderArguments, train_speaker_encoder
from .train_text_to_unit import TextToUnitArguments, train_text_to_unit
from .train_text_tokenizer import TextTokenizerArguments, train_text_tokenizer

STAGES: dict[str, type] = {
    "data": DemoWorldArguments,
    "spoken_text": SpokenTextArguments,
    "text_tokenizer": TextTokenizerArguments,
    "encoder": EncoderArguments,
    "kmeans": KmeansArguments,
    "decoder": DecoderArguments,
    "code_hifigan": CodeHifiGanArguments,
    "mel_hifigan": MelHifiGanArguments,
    "fastspeech2": FastSpeech2Arguments,
    "fastspeech2_finetuned": FinetuneArguments,
    "mel_diffusion": MelDiffusionArguments,
    "codec": CodecArguments,
    "soundstorm": SoundStormArguments,
    "audiolm": AudioLmArguments,
    "speaker_encoder": SpeakerEncoderArguments,
    "image_tokenizer": ImageVqvaeArguments,
    "image_dvae": ImageDvaeArguments,
    "image_diffusion": ImageDiffusionArguments,
    "image_gan": ImageGanArguments,
    "autoencoder_kl": AutoencoderKlArguments,
    "latent_diffusion": LatentDiffusionArguments,
    "image_super_resolution": ImageSuperResolutionArguments,
    "tokens": TokensArguments,
    "text_to_unit": TextToUnitArguments,
    "lm": LmArguments,
    "lm_more": LmArguments,
}
DATA = ("data", "spoken_text")  # stages that make the sound that others learn from: one a recipe
IMAGE_TOKENIZERS = ("image_tokenizer", "image_dvae")  # stages whose codes the language model learns
IMAGE_DECODERS = (
    "image_diffusion",
    "image_gan",
    "latent_diffusion",
    "image_super_resolution",
)  # stages that make an image decoder for them
# run only where the recipe names them
OPTIONAL = (
    "spoken_text", "code_hifigan", "mel_diffusion", "mel_hifigan", "fastspeech2", "fastspeech2_finetuned", "codec", "soundstorm", "audiolm",
    "speaker_encoder", "image_tokenizer", "image_dvae", *IMAGE_DECODERS, "autoencoder_kl", "text_to_unit", "lm_more",
)  # fmt: skip
# stages that make a speech decoder
DECODERS = (
    "decoder",
    "code_hifigan",
    "mel_diffusion",
    "fastspeech2",
    "fastspeech2_finetuned",
    "soundstorm",
    "audiolm",
)
HEADER = ("output_dir", "seed", "speech_tokenizer", "speech_decoder", "image_decoder", "license")
TOKENIZER_SENTENCES = 10_000  # in each language
TAG_SHARE = 0.2  # of the texts: a tag stands before every example, so its words deserve pieces of their own
# of `lm`, for `lm_more` as well
KEPT_SETTINGS = (
    "text_model", "start_from", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "look_back_heads",
    "qk_norm", "rope_theta", "tie_word_embeddings", "languages", "image_codes", "image_grid",
)  # fmt: skip
# of several processes the first one makes these while the others wait
ALONE = ("data", "spoken_text", "text_tokenizer", "kmeans", "init")
STAGE_FILE = "stage.json"  # written when a stage is finished


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: The file's stem.
        output_dir: Where the stages' folders go.
        seed: Of everything.
        stages: {stage: its frozen arguments}, those that run, in order.
        speech_tokenizer: Folder of a tokenizer that is there already; None for that of the stage kmeans.
        speech_decoder: The stage whose decoder goes into the checkpoint.
        license: That its maker gives the checkpoint, as the Hub writes it; "" for none.
        image_tokenizer: Folder of an image tokenizer that is there already; None for that of a stage.
        image_decoder: The stage whose image decoder goes into the checkpoint; "" for none beside the tokenizer.
    """

    name: str
    output_dir: Path
    seed: int
    stages: Mapping[str, Any]
    speech_tokenizer: str | None = None
    speech_decoder: str = "decoder"
    license: str = ""
    image_tokenizer: str | None = None
    image_decoder: str = ""


def read_recipe(recipe: str | os.PathLike) -> tuple[Path, dict[str, Any]]:
    """The file of a recipe and what is in it, unchecked.

    Raises:
        TriglotError: no such file, or not a mapping.
    """
    path = Path(recipe)
    packaged = resources.files(__package__) / "recipes"
    if not path.is_file():
        inside = Path(str(packaged)) / f"{path.name.removesuffix('.yaml')}.yaml"
        if not inside.is_file():
            names = sorted(entry.name for entry in packaged.iterdir() if entry.name.endswith(".yaml"))
            raise TriglotError(f"There is no recipe {str(recipe)!r}; packaged are {', '.join(names)}.")
        path = inside
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise TriglotError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise TriglotError(f"{path} must be a mapping with {', '.join((*HEADER, *STAGES))}.")
    return path, content


def load_recipe(recipe: str | os.PathLike, output_dir: str | os.PathLike | None = None) -> Recipe:
    """Reads and checks a recipe before anything runs.

    Args:
        recipe: Path of a YAML file, or the name of a packaged one ("tiny_smoke").
        output_dir: Instead of the recipe's own.

    Raises:
        TriglotError: no such file, not a mapping, an unknown stage or key (the nearest known one is named).
    """
    path, content = read_recipe(recipe)
    header = {name: content.pop(name) for name in HEADER if name in content}
    if isinstance(content.get("image_tokenizer"), str):  # a folder instead of a stage
        header["image_tokenizer"] = content.pop("image_tokenizer")
    unknown = sorted(set(content) - set(STAGES))
    if unknown:
        raise TriglotError(
            f"{path.name}: unknown stage {unknown[0]!r}; known are {', '.join(STAGES)}, and {', '.join(HEADER)} beside them."
        )
    if set(DATA) <= set(content):
        raise TriglotError(f"{path.name}: {' and '.join(DATA)} are both there; a recipe has one of them.")
    if "lm_more" in content:
        content["lm_more"] = _gone_on(content.get("lm"), content["lm_more"], path.name)
    stages: dict[str, Any] = {
        name: parse_arguments(cls, content.get(name), f"{path.name}, stage {name}")
        for name, cls in STAGES.items()
        if name in _chosen(content, header)
    }
    tokenizer, decoder = header.get("speech_tokenizer"), header.get("speech_decoder", "decoder")
    for name in ("speech_tokenizer", "image_tokenizer"):
        if name in header and not (Path(str(header[name])) / "config.json").is_file():
            raise TriglotError(f"{path.name}: {name} is {str(header[name])!r}; there is no config.json in it.")
    _check_image_decoders(stages, header, path.name)
    if "spoken_text" in stages and "tokens" in stages and stages["tokens"].in_all:
        raise TriglotError(
            f"{path.name}: the rows of the stage tokens are of the demo world; those of spoken_text follow from its own settings."
        )
    if "lm" in stages and (decoder not in DECODERS or decoder not in stages):
        have = ", ".join(name for name in DECODERS if name in stages)
        raise TriglotError(f"{path.name}: speech_decoder is {decoder!r}; this recipe makes {have}.")
    if {"soundstorm", "audiolm"} & set(stages) and "codec" not in stages:
        raise TriglotError(f"{path.name}: soundstorm and audiolm need a codec; name the stage codec as well.")
    for name, needed in (("fastspeech2", "mel_hifigan"), ("fastspeech2_finetuned", "fastspeech2")):
        if name in stages and needed not in stages:
            raise TriglotError(f"{path.name}: {name} goes on from {needed}; name the stage {needed} as well.")
    if "text_to_unit" in stages and "tokens" not in stages:
        raise TriglotError(f"{path.name}: text_to_unit learns from token rows; name the stage tokens as well.")
    license = check_licence(str(header["license"])) if header.get("license") else ""
    target = output_dir if output_dir is not None else header.get("output_dir", f"runs/{path.stem}")
    pictures = header.get("image_tokenizer"), header.get("image_decoder", "")
    return Recipe(path.stem, Path(target), int(header.get("seed", 0)), stages, tokenizer, decoder, license, *pictures)


def _check_image_decoders(stages: Mapping[str, Any], header: Mapping[str, Any], name: str) -> None:
    """Raises TriglotError for image decoders without a tokenizer, or a decoder for the checkpoint that no stage makes."""
    made = [stage for stage in IMAGE_DECODERS if stage in stages]
    if made and "image_tokenizer" not in header and not set(IMAGE_TOKENIZERS) & set(stages):
        raise TriglotError(
            f"{name}: {made[0]} draws the codes of an image tokenizer; name the stage image_tokenizer, or its folder."
        )
    if "latent_diffusion" in made and "autoencoder_kl" not in stages:
        raise TriglotError(f"{name}: latent_diffusion needs an autoencoder; name the stage autoencoder_kl as well.")
    if made == ["image_super_resolution"]:
        raise TriglotError(
            f"{name}: image_super_resolution enlarges what another decoder draws; name its stage as well."
        )
    if header.get("image_decoder") and header["image_decoder"] not in made:
        raise TriglotError(
            f"{name}: image_decoder is {header['image_decoder']!r}; this recipe makes {', '.join(made) or 'none'}."
        )


def _gone_on(lm: Any, more: Any, name: str) -> dict[str, Any]:
    """The settings of `lm_more`: those of `lm` but for what it says itself, and no first part.

    Raises:
        TriglotError: no stage `lm`, or a setting that a model with weights cannot change.
    """
    if not isinstance(lm, dict) or not isinstance(more, dict):
        raise TriglotError(f"{name}: lm_more goes on with the stage lm; both must be there, as mappings.")
    fixed = sorted(key for key in KEPT_SETTINGS if key in more and more[key] != lm.get(key))
    if fixed:
        raise TriglotError(
            f"{name}: lm_more sets {', '.join(fixed)}; a model that is there already keeps that of the stage lm."
        )
    return {**lm, "first_tasks": "", "first_steps": 0, **more}


def _chosen(content: Mapping[str, Any], header: Mapping[str, Any]) -> set[str]:
    """The stages that run."""
    chosen = set(STAGES) - set(OPTIONAL) | set(content)
    if "spoken_text" in content:
        chosen -= {"data"}
    if "speech_tokenizer" in header:
        chosen -= {"encoder", "kmeans"}
    if header.get("speech_decoder") in set(content) & set(DECODERS) - {"decoder"} and "decoder" not in content:
        chosen -= {"decoder"}
    if (
        set(content) & set(OPTIONAL) and "lm" not in content
    ):  # parts alone: no more than is named, and what it is made from
        chosen &= {*DATA, *content}
        drawn = [isinstance(content[name], dict) and content[name].get("scenes") for name in content]
        if set(content) <= {*IMAGE_TOKENIZERS, *IMAGE_DECODERS, "autoencoder_kl"} and all(
            drawn
        ):  # nothing listens, nothing is read
            chosen -= set(DATA)
    return chosen


def run_recipe(recipe: Recipe, stage: str | None = None) -> Path:
    """Runs all stages, or those up to `stage`, and assembles the checkpoint.

    Returns:
        The checkpoint's folder, that of `stage`, or for a recipe of parts alone its output folder.

    Raises:
        TriglotError: an unknown stage, or a folder that holds a stage finished with other settings.
    """
    if stage is not None and stage not in recipe.stages:
        raise TriglotError(f"There is no stage {stage!r}; stages of {recipe.name} are {', '.join(recipe.stages)}.")
    runner = _Runner(recipe)
    for name in recipe.stages:
        runner.run(name)
        if name == stage:
            return recipe.output_dir / name
    return runner.assemble() if "lm" in recipe.stages else recipe.output_dir


def _changed(arguments: Any) -> dict[str, Any]:
    """The settings of a stage that are not as they are by default."""
    defaults = with_later_settings(type(arguments), {})
    return {name: value for name, value in plain_settings(arguments).items() if value != defaults.get(name)}


def run_once(folder: Path, stage: str, arguments: Any, seed: int, step: Callable[[], Any]) -> None:
    """Runs a stage unless its folder says that it is finished; of several processes, which all call it, none returns before.

    Args:
        folder: Of the stage.
        stage: Its name.
        arguments: Its frozen dataclass.
        seed: Of the recipe.
        step: What the stage does.

    Raises:
        TriglotError: it was finished with other settings.
    """
    settings, done = plain_settings(arguments), folder / STAGE_FILE
    if done.is_file():
        before = json.loads(done.read_text(encoding="utf-8"))
        if with_later_settings(type(arguments), before["settings"]) != settings or before["seed"] != seed:
            raise TriglotError(
                f"{folder} holds stage {stage!r} finished with other settings; choose another output_dir, "
                "or delete that folder and those of the later stages."
            )
        print(f"[{stage}] finished before, in {before['minutes']:.1f} min")
        return
    rank, _ = rank_and_ranks()
    start = time.monotonic()
    if rank == 0 or stage not in ALONE:
        print(f"[{stage}] {folder}")
        step()
    if rank > 0:
        wait_until(done.is_file, f"[{stage}] the first process finishes it")
        return
    minutes = (time.monotonic() - start) / 60
    made_by = hardware(1 if stage in ALONE else None)
    record = {"stage": stage, "settings": settings, "seed": seed, "minutes": round(minutes, 2), "hardware": made_by}
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(done) as partial:
        partial.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
    print(f"[{stage}] finished in {minutes:.1f} min")


class _Runner:
    def __init__(self, recipe: Recipe):
        self.recipe, self.root = recipe, recipe.output_dir
        self.minutes: dict[str, float] = {}
        self._dataset = None

    def folder(self, stage: str) -> Path:
        return self.root / stage

    @property
    def speech_tokenizer(self) -> Path:
        """Folder of the tokenizer."""
        given = self.recipe.speech_tokenizer
        return self.folder("kmeans") if given is None else Path(given)

    @property
    def image_tokenizer(self) -> Path | None:
        """Folder of the image tokenizer; None for a recipe without pictures."""
        if self.recipe.image_tokenizer is not None:
            return Path(self.recipe.image_tokenizer)
        made = [self.folder(stage) for stage in IMAGE_TOKENIZERS if stage in self.recipe.stages]
        return made[0] if made else None

    @property
    def image_decoder(self) -> Path | None:
        """Folder of the image decoder that goes into the checkpoint; None where its tokenizer draws."""
        return self.folder(self.recipe.image_decoder) if self.recipe.image_decoder else None

    @property
    def _last_lm(self) -> Path:
        """Folder of the language model that goes into the checkpoint."""
        return self.folder("lm_more" if "lm_more" in self.recipe.stages else "lm")

    @property
    def text_to_unit(self) -> Path | None:
        """Folder of what speaks for a language model that writes text alone; None for one that writes speech, or where there is none."""
        arguments = self.recipe.stages["lm"]
        writes = {slot.modality for task in arguments.task_weights for slot in parse_chain(task).outputs}
        return self.folder("text_to_unit") if "text_to_unit" in self.recipe.stages and "speech" not in writes else None

    @property
    def dataset(self):
        if self._dataset is None:
            from datasets import load_from_disk

            self._dataset = load_from_disk(str(self.rows_folder))
        return self._dataset

    @property
    def rows_folder(self) -> Path:
        """Where the stage of the data leaves the sound."""
        return self.folder(next(stage for stage in DATA if stage in self.recipe.stages)) / "rows"

    def run(self, stage: str) -> None:
        """Runs one stage unless it is finished."""
        steps: dict[str, Callable[[Any], Any]] = {
            "data": self._data,
            "spoken_text": self._spoken_text,
            "text_tokenizer": self._text_tokenizer,
            "encoder": self._encoder,
            "kmeans": self._kmeans,
            "decoder": self._decoder,
            "code_hifigan": self._code_hifigan,
            "mel_hifigan": self._mel_hifigan,
            "fastspeech2": self._fastspeech2,
            "fastspeech2_finetuned": self._fastspeech2_finetuned,
            "mel_diffusion": self._mel_diffusion,
            "codec": self._codec,
            "soundstorm": self._soundstorm,
            "audiolm": self._audiolm,
            "speaker_encoder": self._speaker_encoder,
            "image_tokenizer": self._image_tokenizer,
            "image_dvae": self._image_dvae,
            "image_diffusion": lambda arguments: self._image_decoder(train_image_diffusion, arguments, stage),
            "image_gan": lambda arguments: self._image_decoder(train_image_gan, arguments, stage),
            "autoencoder_kl": self._autoencoder_kl,
            "latent_diffusion": self._latent_diffusion,
            "image_super_resolution": self._image_super_resolution,
            "tokens": self._tokens,
            "text_to_unit": self._text_to_unit,
            "lm": lambda arguments: self._lm(arguments, "lm"),
            "lm_more": self._lm_more,
        }
        arguments = self.recipe.stages[stage]
        run_once(self.folder(stage), stage, arguments, self.recipe.seed, lambda: steps[stage](arguments))

    def assemble(self) -> Path:
        """The stages' results -> `output_dir/checkpoint`, by the first process."""
        checkpoint = self.root / "checkpoint"
        if rank_and_ranks()[0] == 0:
            self._assemble(checkpoint)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            PartialState().wait_for_everyone()
        print(f"[checkpoint] {checkpoint}")
        return checkpoint

    def _assemble(self, checkpoint: Path) -> None:
        assemble_checkpoint(
            self._last_lm,
            self.folder("text_tokenizer"),
            self.speech_tokenizer,
            self.folder(self.recipe.speech_decoder),
            checkpoint,
            self.recipe.stages["lm"].languages.split(),
            self.image_tokenizer,
            self._record(),
            self.text_to_unit,
            self.image_decoder,
        )

    def _record(self) -> CardRecord:
        """What the card of the checkpoint is to say: where its parts come from, what they learnt from, how long it took."""
        recipe, lm = self.recipe, self.recipe.stages["lm"]
        made = {
            "speech_decoder": self.folder(recipe.speech_decoder),
            "image_tokenizer": self.image_tokenizer,
            "text_to_unit": self.text_to_unit,
            "image_decoder": self.image_decoder,
        }
        # one without a record was made by an older version, from nothing
        parts = {
            name: Part.of(folder) if read_record(folder) is not None else Part()
            for name, folder in made.items()
            if folder
        }
        parts["language_model"] = Part.of_model(lm.text_model) if lm.text_model else Part()
        parts["speech_tokenizer"] = Part.of(self.speech_tokenizer) if recipe.speech_tokenizer else Part()
        if recipe.image_tokenizer:
            parts["image_tokenizer"] = Part.of(Path(recipe.image_tokenizer))
        stages = {}
        for name in recipe.stages:
            done = json.loads((self.folder(name) / STAGE_FILE).read_text(encoding="utf-8"))
            stages[name] = {"minutes": done["minutes"], "hardware": done.get("hardware", "")}
        data = next(name for name in DATA if name in recipe.stages)
        run = Run("train", recipe.name, recipe.seed, settings=_changed(recipe.stages[data]), stages=stages,
                  learnt=read_facts(self._last_lm / "checkpoints"))  # fmt: skip
        return CardRecord(recipe.name, recipe.license, parts=parts, runs=[run])

    # ---- one method a stage

    def _data(self, arguments: DemoWorldArguments) -> None:
        self._save_rows(demo_world(arguments, self.recipe.seed))

    def _spoken_text(self, arguments: SpokenTextArguments) -> None:
        self._save_rows(spoken_text(arguments, self.recipe.seed))

    def _save_rows(self, rows: Any) -> None:
        self.rows_folder.parent.mkdir(parents=True, exist_ok=True)
        rows.save_to_disk(str(self.rows_folder))

    def _text_tokenizer(self, arguments: TextTokenizerArguments) -> None:
        names = self.recipe.stages["lm"].languages.split()
        sentences = self._sentences()
        languages = [language_name(code) for code in names]
        tags = [f"[{task} {source} {target}]" for task in TASKS for source in languages for target in languages]
        repeats = max(1, round(TAG_SHARE * len(sentences) / len(tags)))
        train_text_tokenizer([*sentences, *tags * repeats], self.folder("text_tokenizer"), arguments)

    def _sentences(self) -> list[str]:
        """What the text tokenizer learns from: text costs nothing, so far more than is spoken."""
        if "spoken_text" in self.recipe.stages:
            return [text for texts in parallel_sentences(self.recipe.stages["spoken_text"]) for text in texts.values()]
        data, sentences = self.recipe.stages["data"], sentences_of(self.dataset)
        if data.phrases:
            items = training_sentences(TOKENIZER_SENTENCES, seed=self.recipe.seed)
            sentences += [item.sentence(language) for item in items for language in data.languages.split()]
        return sentences

    def _encoder(self, arguments: EncoderArguments) -> None:
        train_encoder(self.dataset, self.folder("encoder"), arguments, seed=self.recipe.seed)

    def _kmeans(self, arguments: KmeansArguments) -> None:
        train_kmeans(self.dataset, self.folder("encoder"), self.folder("kmeans"), arguments, seed=self.recipe.seed)

    def _decoder(self, arguments: DecoderArguments) -> None:
        train_decoder(self.dataset, self.speech_tokenizer, self.folder("decoder"), arguments, seed=self.recipe.seed)

    def _code_hifigan(self, arguments: CodeHifiGanArguments) -> None:
        folders = self.speech_tokenizer, self.folder("code_hifigan")
        train_code_hifigan(self.dataset, *folders, arguments, seed=self.recipe.seed)

    def _mel_hifigan(self, arguments: MelHifiGanArguments) -> None:
        train_mel_hifigan(self.dataset, self.folder("mel_hifigan"), arguments, seed=self.recipe.seed)

    def _fastspeech2(self, arguments: FastSpeech2Arguments) -> None:
        folders = self.speech_tokenizer, self.folder("mel_hifigan"), self.folder("fastspeech2")
        train_fastspeech2(self.dataset, *folders, arguments, seed=self.recipe.seed)

    def _fastspeech2_finetuned(self, arguments: FinetuneArguments) -> None:
        folders = self.speech_tokenizer, self.folder("fastspeech2"), self.folder("fastspeech2_finetuned")
        finetune_vocoder(self.dataset, *folders, arguments, seed=self.recipe.seed)

    def _mel_diffusion(self, arguments: MelDiffusionArguments) -> None:
        folders = self.speech_tokenizer, self.folder("mel_diffusion")
        train_mel_diffusion(self.dataset, *folders, arguments, seed=self.recipe.seed)

    def _codec(self, arguments: CodecArguments) -> None:
        train_codec(self.dataset, self.folder("codec"), arguments, seed=self.recipe.seed)

    def _soundstorm(self, arguments: SoundStormArguments) -> None:
        folders = self.speech_tokenizer, self.folder("codec"), self.folder("soundstorm")
        train_soundstorm(self.dataset, *folders, arguments, seed=self.recipe.seed)

    def _audiolm(self, arguments: AudioLmArguments) -> None:
        folders = self.speech_tokenizer, self.folder("codec"), self.folder("audiolm")
        train_audiolm(self.dataset, *folders, arguments, seed=self.recipe.seed)

    def _speaker_encoder(self, arguments: SpeakerEncoderArguments) -> None:
        train_speaker_encoder(self.dataset, self.folder("speaker_encoder"), arguments, seed=self.recipe.seed)

    def _pictures(self, arguments: Any) -> Any:
        """What a stage of pictures learns from; None where it draws scenes."""
        return None if arguments.scenes else self.dataset

    def _image_tokenizer(self, arguments: ImageVqvaeArguments) -> None:
        train_image_vqvae(self._pictures(arguments), self.folder("image_tokenizer"), arguments, seed=self.recipe.seed)

    def _image_dvae(self, arguments: ImageDvaeArguments) -> None:
        train_image_dvae(self._pictures(arguments), self.folder("image_dvae"), arguments, seed=self.recipe.seed)

    def _image_decoder(self, train: Callable[..., Path], arguments: Any, stage: str, *parts: Path) -> None:
        train(
            self._pictures(arguments),
            self.image_tokenizer,
            *parts,
            self.folder(stage),
            arguments,
            seed=self.recipe.seed,
        )

    def _autoencoder_kl(self, arguments: AutoencoderKlArguments) -> None:
        train_autoencoder_kl(
            self._pictures(arguments), self.folder("autoencoder_kl"), arguments, seed=self.recipe.seed
        )

    def _latent_diffusion(self, arguments: LatentDiffusionArguments) -> None:
        self._image_decoder(train_latent_diffusion, arguments, "latent_diffusion", self.folder("autoencoder_kl"))

    def _image_super_resolution(self, arguments: ImageSuperResolutionArguments) -> None:
        base = self.folder(next(stage for stage in IMAGE_DECODERS if stage in self.recipe.stages))
        self._image_decoder(train_image_super_resolution, arguments, "image_super_resolution", base)

    def _tokens(self, arguments: TokensArguments) -> None:
        make_rows, count = self._token_rows(arguments)
        rank, ranks = rank_and_ranks()
        shards = write_shards(
            self.folder("tokens"), count, arguments.shard_rows, make_rows, workers=arguments.workers, rank=rank, ranks=ranks
        )  # fmt: skip
        wait_until(lambda: all(path.is_file() for path in shards), "[tokens] waits for the shards of other processes")

    def _token_rows(self, arguments: TokensArguments) -> tuple[Callable[[int, int], Any], int]:
        """What makes the token rows, and how many."""
        units, seed, pictures = str(self.speech_tokenizer), self.recipe.seed, str(self.image_tokenizer or "")
        if "spoken_text" in self.recipe.stages:
            rows = SpokenTextRows(units, self.recipe.stages["spoken_text"], seed)
            return rows, rows.count()
        if arguments.in_all:
            languages = tuple(self.recipe.stages["data"].languages.split())
            return DemoWorldRows(units, languages, arguments, seed, pictures), arguments.in_all
        return DatasetRows(str(self.rows_folder), units, pictures), len(self.dataset)

    def _text_to_unit(self, arguments: TextToUnitArguments) -> None:
        rows, folders = read_rows(self.folder("tokens")), (self.speech_tokenizer, self.folder("text_to_unit"))
        train_text_to_unit(rows, *folders, arguments, seed=self.recipe.seed)

    def _lm_more(self, arguments: LmArguments) -> None:
        self._lm(dataclasses.replace(arguments, text_model="", start_from=str(self.folder("lm"))), "lm_more")

    def _lm(self, arguments: LmArguments, stage: str) -> None:
        folders = self.folder("text_tokenizer"), self.speech_tokenizer, self.folder(stage)
        train_lm(
            read_rows(self.folder("tokens")),
            *folders,
            arguments,
            seed=self.recipe.seed,
            image_tokenizer_dir=self.image_tokenizer,
        )
