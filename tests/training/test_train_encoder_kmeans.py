"""From sound files to a tokenizer: pretraining, its resumption, and k-means."""

import dataclasses
import io
import json

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset, IterableDataset
from transformers import TrainerCallback

from triglot.modeling.tokenizers.modeling_best_rq import BestRqForPreTraining
from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits
from triglot.processing.audio_io import load_audio
from triglot.processing.errors import TriglotError
from triglot.training import train_encoder as train_encoder_module
from triglot.training import train_kmeans as train_kmeans_module
from triglot.training.streaming_kmeans import StreamingKmeans
from triglot.training.train_encoder import CropCollator, EncoderArguments, train_encoder
from triglot.training.train_kmeans import KmeansArguments, train_kmeans

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_codebooks": 2,
    "codebook_size": 8,
    "batch_size": 4,
    "crop_seconds": 0.5,
    "warmup_steps": 1,
    "save_steps": 2,
    "logging_steps": 1,
}


def sound_file(seed: int, seconds: float, rate: int = 16_000) -> bytes:
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (150 + 50 * seed) * time * (1 + time)) + 0.05 * generator.standard_normal(
        len(time)
    )
    handle = io.BytesIO()
    soundfile.write(handle, wave.astype(np.float32), rate, format="WAV")
    return handle.getvalue()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rows = [{"bytes": sound_file(i, 0.3 + 0.1 * i, 16_000 if i % 2 else 22_050), "path": None} for i in range(8)]
    return Dataset.from_dict({"audio": rows, "text": ["x"] * 8}).cast_column("audio", Audio(decode=False))


@pytest.fixture(scope="module")
def encoder_dir(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "encoder"
    return train_encoder(dataset, folder, EncoderArguments(**TINY, max_steps=3), seed=1)


def test_the_encoder_is_saved_as_safetensors_only(encoder_dir):
    names = {path.name for path in encoder_dir.iterdir()}
    assert {"config.json", "model.safetensors", "checkpoints", "modeling_best_rq.py"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt"))}
    assert not list(encoder_dir.parent.glob(".*partial*"))
    model = BestRqForPreTraining.from_pretrained(encoder_dir)
    assert model.config.hidden_size == 16 and model.dtype == torch.float32


def test_a_run_that_diverges_is_told_and_not_saved(dataset, tmp_path):
    arguments = EncoderArguments(**{**TINY, "warmup_steps": 0}, max_steps=3, learning_rate=1e30)
    with pytest.raises(TriglotError, match="lower learning_rate"):
        train_encoder(dataset, tmp_path / "encoder", arguments)
    assert not (tmp_path / "encoder" / "config.json").exists()


class Interrupt(TrainerCallback):
    """Ends the process, as it were, at the start of a step."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def test_a_run_that_was_cut_off_goes_on_and_ends_alike(dataset, tmp_path, monkeypatch):
    arguments = EncoderArguments(**TINY, max_steps=5, bf16=False)
    whole = train_encoder(dataset, tmp_path / "whole", arguments)

    plain_trainer = train_encoder_module.PartsTrainer
    monkeypatch.setattr(
        train_encoder_module,
        "PartsTrainer",
        lambda callbacks, **more: plain_trainer(callbacks=[*callbacks, Interrupt()], **more),
    )
    with pytest.raises(KeyboardInterrupt):
        train_encoder(dataset, tmp_path / "cut", arguments)
    assert not (tmp_path / "cut" / "config.json").exists()
    torn = tmp_path / "cut" / "checkpoints" / "checkpoint-3"  # killed while it was being written
    torn.mkdir()
    (torn / "config.json").write_text("{")

    started = []
    monkeypatch.setattr(
        train_encoder_module,
        "PartsTrainer",
        lambda callbacks, **more: plain_trainer(callbacks=[*callbacks, StartedAt(started)], **more),
    )
    cut = train_encoder(dataset, tmp_path / "cut", arguments)
    assert started == [2]
    a, b = (BestRqForPreTraining.from_pretrained(folder).state_dict() for folder in (whole, cut))
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)

    train_encoder(dataset, cut, arguments)  # a finished run has nothing left to do
    assert started == [2, 5]
    again = BestRqForPreTraining.from_pretrained(cut).state_dict()
    assert all(torch.equal(b[name], again[name]) for name in b)

    with pytest.raises(TriglotError, match="hidden_size 16 -> 32"):
        train_encoder(dataset, cut, EncoderArguments(**{**TINY, "hidden_size": 32}))
    with pytest.raises(TriglotError, match="another dataset"):
        train_encoder(dataset.select(range(7)), cut, arguments)


class StartedAt(TrainerCallback):
    def __init__(self, steps: list[int]):
        self.steps = steps

    def on_train_begin(self, args, state, control, **kwargs):
        self.steps.append(state.global_step)


def test_the_collator_crops_and_pads():
    batch = CropCollator(100)([torch.ones(250), torch.ones(40)])
    assert batch["input_values"].shape == batch["attention_mask"].shape == (2, 100)
    assert batch["attention_mask"].sum(1).tolist() == [100, 40]


def test_transcripts_of_whole_utterances_are_collated_and_cropped_ones_are_not():
    items = [
        {"waveform": torch.rand(length) - 0.5, "transcript": torch.tensor(ids)}
        for length, ids in ((4_000, [3, 1, 2]), (9_000, [1, 1]))
    ]
    batch = CropCollator(8_000)(items)
    assert batch["input_values"].shape == (2, 8_000)
    assert batch["transcripts"].tolist() == [[3, 1, 2], [-100] * 3]


def test_augmented_utterances_are_other_sounds_and_repeat_with_the_seed():
    wave = torch.from_numpy(load_audio({"bytes": sound_file(1, 0.4), "path": None}, target_rate=16_000, name="it"))
    batches = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        batches.append(CropCollator(16_000, augmented_share=1.0)([wave])["input_values"])
    assert torch.equal(batches[0], batches[1])
    assert batches[0].shape != batches[2].shape or not torch.equal(batches[0], batches[2])
    assert torch.equal(CropCollator(16_000)([wave])["input_values"][0], wave)


def test_an_encoder_with_transcripts_has_a_head_that_its_tokens_do_not_carry(dataset, tmp_path):
    spoken = dataset.rename_column("text", "transcript").map(
        lambda row, i: {"transcript": f"Ab, {i}!"}, with_indices=True
    )
    arguments = EncoderArguments(**TINY, max_steps=2, ctc_weight=0.5, augmented_share=0.5)
    folder = train_encoder(spoken, tmp_path / "encoder", arguments)
    model = BestRqForPreTraining.from_pretrained(folder)
    assert model.config.ctc_characters == " 01234567ab" and model.ctc_head.out_features == 24
    units = FeatureUnits.from_encoder(folder, 1)
    assert not hasattr(units.encoder, "ctc_head") and units.encoder.config.ctc_characters == ""
    with pytest.raises(TriglotError, match="`transcript` is needed"):
        train_encoder(dataset, tmp_path / "other", arguments)
    with pytest.raises(TriglotError, match="holds no words"):
        train_encoder(spoken.map(lambda row: {"transcript": "?!"}), tmp_path / "other", arguments)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_kmeans_makes_a_tokenizer(dataset, encoder_dir, tmp_path, dtype):
    arguments = KmeansArguments(codebook_size=6, layer=2, batch_size=32, dtype=dtype)
    folder = train_kmeans(dataset, encoder_dir, tmp_path / "units", arguments, seed=2)
    again = train_kmeans(dataset, encoder_dir, tmp_path / "again", arguments, seed=2)
    units = FeatureUnits.from_pretrained(folder)
    assert units.codebook_size == 6 and units.centroids.shape == (6, 16)
    assert json.loads((folder / "config.json").read_text())["dtype"] == dtype
    assert len(units.fingerprint) == 64 and units.fingerprint == FeatureUnits.from_pretrained(again).fingerprint
    assert units.compute_fingerprint() == units.fingerprint
    codes = units.encode([torch.randn(16_000)])[0]
    assert codes.shape == (25,) and int(codes.max()) < 6


def test_more_codes_lie_nearer_to_the_features(dataset, encoder_dir, tmp_path):
    rows = train_encoder_module.WaveformDataset(dataset, 16_000)
    errors = []
    for size in (1, 8, 40):
        arguments = KmeansArguments(codebook_size=size, layer=1, batch_size=64)
        units = FeatureUnits.from_pretrained(train_kmeans(dataset, encoder_dir, tmp_path / str(size), arguments))
        frames = torch.cat([units.features(rows[index]) for index in range(len(rows))])
        codes = torch.cat(units.encode([rows[index] for index in range(len(rows))]))
        errors.append(float((frames - units.centroids[codes]).square().sum(1).mean()))
    spread = float((frames - frames.mean(0)).square().sum(1).mean())
    assert errors[0] < 1.05 * spread, "features were scaled or shifted before k-means"
    assert errors[1] < 0.8 * errors[0] and errors[2] < 0.8 * errors[1]


def test_too_little_sound_is_told_before_fitting(dataset, encoder_dir, tmp_path):
    with pytest.raises(TriglotError, match=r"There are 1\d\d frames, fewer than the 500 codes"):
        train_kmeans(dataset, encoder_dir, tmp_path / "units", KmeansArguments(codebook_size=500, layer=1))
    with pytest.raises(TriglotError, match="max_frames is 10 and codebook_size 50"):
        train_kmeans(dataset, encoder_dir, tmp_path / "units", KmeansArguments(codebook_size=50, max_frames=10))
    with pytest.raises(TriglotError, match="float32 or float16"):
        train_kmeans(dataset, encoder_dir, tmp_path / "units", KmeansArguments(dtype="int8"))
    with pytest.raises(ValueError, match="allowed is 1 to 2"):
        train_kmeans(dataset, encoder_dir, tmp_path / "units", KmeansArguments(layer=3))
    assert not (tmp_path / "units" / "config.json").exists()


def broken_into(dataset: Dataset) -> Dataset:
    """The rows with four among them that cannot be used."""
    bad = [b"noise", b"", sound_file(1, 0.01), sound_file(1, 0.5)[:60]]
    rows = list(dataset["audio"]) + [{"bytes": content, "path": None} for content in bad]
    return Dataset.from_dict({"audio": [rows[index] for index in (0, 8, 1, 2, 9, 10, 3, 4, 5, 11, 6, 7)]})


def streamed(dataset: Dataset, breaks_at: int | None = None) -> IterableDataset:
    rows = list(dataset)

    def generate():
        for index, row in enumerate(rows):
            if index == breaks_at:
                raise ConnectionError("the line is dead")
            yield row

    return IterableDataset.from_generator(generate)


def test_a_stream_is_taken_as_it_comes_and_a_dataset_in_an_order_of_its_own(dataset, encoder_dir, tmp_path):
    arguments = KmeansArguments(codebook_size=4, layer=1, batch_size=16)
    units = FeatureUnits.from_encoder(encoder_dir, 1)
    order = np.random.default_rng(3).permutation(8)
    kmeans = StreamingKmeans(4, 16, batch_size=16, init_frames=80, seed=3)  # 20 frames a code
    for index in order:
        kmeans.add(units.features(train_encoder_module.WaveformDataset(dataset, 16_000)[index]))
    fits = [(dataset, 3), (streamed(dataset.select(order)), 3), (streamed(dataset), 3)]
    books = [
        FeatureUnits.from_pretrained(
            train_kmeans(rows, encoder_dir, tmp_path / str(place), arguments, seed=seed)
        ).centroids
        for place, (rows, seed) in enumerate(fits)
    ]
    assert torch.equal(books[0], kmeans.finish()) and torch.equal(books[1], books[0])
    assert not torch.equal(books[2], books[0])


@pytest.mark.parametrize("kind", [lambda rows: rows, streamed])
def test_rows_that_cannot_be_used_are_passed_over_counted_and_listed(kind, dataset, encoder_dir, tmp_path, capsys):
    rows = broken_into(dataset)
    arguments = KmeansArguments(codebook_size=4, layer=1, batch_size=16)
    folder = train_kmeans(kind(rows), encoder_dir, tmp_path / "units", arguments)
    skipped = json.loads((folder / "skipped_rows.json").read_text())
    assert (skipped["utterances"], skipped["skipped"]) == (12, 4)
    assert {item["row"] for item in skipped["first"]} == {1, 4, 5, 9}
    assert "at least 0.1 s" in next(item["why"] for item in skipped["first"] if item["row"] == 5)
    assert "4 of 12 utterances could not be used" in capsys.readouterr().out
    assert FeatureUnits.from_pretrained(folder).codebook_size == 4


@pytest.mark.parametrize("kind", [lambda rows: rows, streamed])
@pytest.mark.parametrize("killed_at", [1, 4, 7])
def test_a_killed_fit_goes_on_to_the_same_centroids(kind, killed_at, dataset, encoder_dir, tmp_path, monkeypatch):
    rows = broken_into(dataset)
    arguments = KmeansArguments(codebook_size=4, layer=1, batch_size=16, init_frames=40, save_rows=2)
    whole = FeatureUnits.from_pretrained(train_kmeans(kind(rows), encoder_dir, tmp_path / "whole", arguments))
    add, calls = StreamingKmeans.add, []

    def killing(self, frames):
        calls.append(len(frames))
        if len(calls) == killed_at + 1:
            raise KeyboardInterrupt
        add(self, frames)

    monkeypatch.setattr(StreamingKmeans, "add", killing)
    with pytest.raises(KeyboardInterrupt):
        train_kmeans(kind(rows), encoder_dir, tmp_path / "units", arguments)
    folder = train_kmeans(kind(rows), encoder_dir, tmp_path / "units", arguments)
    assert torch.equal(FeatureUnits.from_pretrained(folder).centroids, whole.centroids)
    assert json.loads((folder / "skipped_rows.json").read_text()) == json.loads(
        (tmp_path / "whole" / "skipped_rows.json").read_text()
    )
    if killed_at > 1:
        assert len(calls) < 8 + killed_at + 1, "it started anew"
    with pytest.raises(TriglotError, match="codebook_size 4 -> 5"):
        train_kmeans(kind(rows), encoder_dir, folder, dataclasses.replace(arguments, codebook_size=5))


def test_a_stream_that_breaks_is_told_and_gone_on_with(dataset, encoder_dir, tmp_path):
    arguments = KmeansArguments(codebook_size=4, layer=1, batch_size=16, init_frames=40)
    whole = FeatureUnits.from_pretrained(train_kmeans(streamed(dataset), encoder_dir, tmp_path / "whole", arguments))
    with pytest.raises(TriglotError, match="broke after 5 utterances: the line is dead"):
        train_kmeans(streamed(dataset, breaks_at=5), encoder_dir, tmp_path / "units", arguments)
    folder = train_kmeans(streamed(dataset), encoder_dir, tmp_path / "units", arguments)
    assert torch.equal(FeatureUnits.from_pretrained(folder).centroids, whole.centroids)


def test_a_stream_that_ends_early_is_enough_if_there_is_a_frame_for_each_code(dataset, encoder_dir, tmp_path, capsys):
    arguments = KmeansArguments(codebook_size=4, layer=1, max_frames=1_000)
    train_kmeans(streamed(dataset), encoder_dir, tmp_path / "units", arguments)
    assert "The rows ended after 8 utterances and 1" in capsys.readouterr().out
    with pytest.raises(TriglotError, match="fewer than the 900 codes"):
        train_kmeans(
            streamed(dataset), encoder_dir, tmp_path / "more", dataclasses.replace(arguments, codebook_size=900)
        )


def test_no_more_frames_than_asked_for(dataset, encoder_dir, tmp_path, monkeypatch):
    seen, add = [], StreamingKmeans.add
    monkeypatch.setattr(StreamingKmeans, "add", lambda self, frames: (seen.append(len(frames)), add(self, frames))[1])
    train_kmeans(dataset, encoder_dir, tmp_path / "units", KmeansArguments(codebook_size=4, layer=1, max_frames=61))
    assert sum(seen) == 61 and len(seen) < 8


def test_the_command_line_and_a_broken_state(dataset, encoder_dir, tmp_path):
    dataset.save_to_disk(str(tmp_path / "rows"))
    options = ["--dataset", str(tmp_path / "rows"), "--encoder", str(encoder_dir), "--out", str(tmp_path / "units")]
    options += ["--layer", "1", "--codebook-size", "4", "--save-rows", "3", "--deduplicate"]
    train_kmeans_module.main(options)
    units = FeatureUnits.from_pretrained(tmp_path / "units")
    assert units.codebook_size == 4 and units.config.deduplicate and units.config.layer == 1
    state = tmp_path / "units" / "checkpoints" / "kmeans.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(TriglotError, match="is no state of this run"):
        train_kmeans_module.main(options)


def test_mfcc_need_no_encoder(dataset, tmp_path):
    arguments = KmeansArguments(codebook_size=6, layer=1)
    units = FeatureUnits.from_pretrained(train_kmeans(dataset, "mfcc", tmp_path / "floor", arguments))
    assert (units.codebook_size, units.frame_rate, units.config.feature_dim) == (6, 25.0, 39)
    with pytest.raises(ValueError, match="layer"):
        train_kmeans(dataset, "mfcc", tmp_path / "no", KmeansArguments(codebook_size=6, layer=2))


def test_broken_weights_and_data_are_errors(dataset, encoder_dir, tmp_path):
    model = BestRqForPreTraining.from_pretrained(encoder_dir)
    with torch.no_grad():
        model.encoder.input_proj.bias.fill_(float("nan"))
    model.save_pretrained(tmp_path / "nan")
    with pytest.raises(TriglotError, match="NaN"):
        train_kmeans(dataset, tmp_path / "nan", tmp_path / "units", KmeansArguments(codebook_size=2, layer=1))
    with pytest.raises(TriglotError, match="`audio` is needed"):
        train_encoder(dataset.remove_columns("audio"), tmp_path / "x", EncoderArguments(**TINY))
    with pytest.raises(TriglotError, match="no rows"):
        train_encoder(dataset.select([]), tmp_path / "x", EncoderArguments(**TINY))
    broken = Dataset.from_dict({"audio": [{"bytes": b"noise", "path": None}]})
    with pytest.raises(TriglotError, match="audio of row 0"):
        train_encoder(broken, tmp_path / "x", EncoderArguments(**TINY, max_steps=1))
