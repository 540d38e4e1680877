"""`evaluate_checkpoint`: every file it writes, on random weights with a judge that knows the answers; and what it refuses."""

import argparse
import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu
import soundfile
import torch
from datasets import Audio, DatasetDict

from triglot import TriglotError
from triglot.training import evaluate as evaluate_module
from triglot.training.checkpoint_files import weights_digest
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.evaluate import EVALUATION_TASKS, add_arguments, evaluate_checkpoint, load_rows, run
from triglot.training.evaluate_arguments import TASK_NAMES
from triglot.training.evaluate_models import (
    CheckpointJudge,
    CheckpointUnderTest,
    CtcJudge,
    Question,
    XVector,
    load_judge,
)
from triglot.training.evaluate_questions import questions
from triglot.training.report import EvaluatedItem, markdown, signatures, summarise

TASKS = ("ASR", "AST", "MT", "S2ST", "S2ST direct", "TTS")


class EchoJudge:
    """Hears the same two words in everything, and remembers what it was handed."""

    def __init__(self, text="dos palabras"):
        self.text, self.handed = text, []

    def transcribe(self, waveforms, languages):
        self.handed += list(zip(waveforms, languages))
        return [self.text] * len(waveforms)


@pytest.fixture(scope="module")
def rows():
    """Two scenes, both directions, one speaker: four rows."""
    return demo_world(DemoWorldArguments(sentences=2))


@pytest.fixture(scope="module")
def evaluation(random_checkpoint, rows, tmp_path_factory):
    """(results, folder, judge) of all tasks."""
    folder, judge = tmp_path_factory.mktemp("evaluation") / "out", EchoJudge()
    results = evaluate_checkpoint(
        random_checkpoint,
        rows,
        output_dir=folder,
        judge=judge,
        embed=lambda wave: np.abs(np.fft.rfft(wave, 64))[:8] + 1e-3,
        tasks=TASKS,
        batch_size=3,
        keep_audio=2,
        resamples=50,
        progress=False,
    )
    return results, folder, judge


@pytest.fixture(scope="module")
def items(evaluation):
    return [json.loads(line) for line in (evaluation[1] / "items.jsonl").read_text(encoding="utf-8").splitlines()]


# ---- what is written


def test_results_json_is_what_is_returned(evaluation):
    results, folder, _ = evaluation
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == results
    assert list(results["tasks"]) == [*TASKS, "judge on recordings"]
    measures = {name: set(task["mean"]) for name, task in results["tasks"].items()}
    spoken = {"asr_bleu", "asr_wer", "speaker_similarity"}
    assert measures == {
        "ASR": {"wer", "cer"},
        "AST": {"bleu", "chrf"},
        "MT": {"bleu", "chrf"},
        "S2ST": {"bleu", "chrf", "asr_wer_own_text", *spoken},
        "S2ST direct": spoken,
        "TTS": {"asr_wer", "speaker_similarity"},
        "judge on recordings": {"asr_wer"},
    }
    assert "tok:intl" in results["signatures"]["bleu"] and "norm:none" in results["signatures"]["bleu"]
    assert "norm:normalise_text" in results["signatures"]["asr_bleu"]
    assert set(results["versions"]) >= {"triglot", "transformers", "torch", "sacrebleu", "jiwer"}
    assert results["settings"]["judge"] == "EchoJudge" and len(results["fingerprints"]["speech"]) == 64


def test_each_language_and_direction_has_its_row(evaluation):
    tasks = evaluation[0]["tasks"]
    assert list(tasks["ASR"]["directions"]) == list(tasks["TTS"]["directions"]) == ["en", "es"]
    assert list(tasks["S2ST"]["directions"]) == ["en-es", "es-en"]
    for task in tasks.values():
        for key, mean in task["mean"].items():
            per = {name: found[key] for name, found in task["directions"].items()}
            values = [found["value"] for found in per.values()]
            if None in values:
                assert mean["value"] is None
                continue
            assert mean["value"] == pytest.approx(np.mean(values))
            error = "wer" in key or key == "cer"
            worst = task["worst"][key]
            assert worst["value"] == (max if error else min)(values) == per[worst["direction"]]["value"]
            assert all(found["interval"][0] <= found["interval"][1] for found in per.values())
    assert tasks["ASR"]["directions"]["en"]["wer"]["reference_words"] > 10
    assert tasks["ASR"]["directions"]["en"]["sentences"] == 2


def test_the_numbers_follow_from_the_items(evaluation, items):
    tasks = evaluation[0]["tasks"]
    for task in ("AST", "MT", "S2ST"):
        group = [item for item in items if item["task"] == task and item["source_language"] == "en"]
        expected = sacrebleu.corpus_chrf(
            [item["hypothesis"] for item in group], [[item["reference"] for item in group]]
        )
        assert tasks[task]["directions"]["en-es"]["chrf"]["value"] == pytest.approx(expected.score)
    # "dos palabras" shares no word with a scene: as many errors as the longer of both has words
    group = [item for item in items if item["task"] == "TTS" and item["source_language"] == "en"]
    assert tasks["TTS"]["directions"]["en"]["asr_wer"]["value"] == 1.0
    assert all(len(item["reference"].split()) > 2 for item in group)


def test_items_jsonl(evaluation, items, rows):
    assert len(items) == 7 * 4 and len({item["id"] for item in items}) == len(items)
    for item in items:
        row, spoken = rows[item["row"]], item["task"] in ("S2ST", "S2ST direct", "TTS")
        if item["task"] == "judge on recordings":
            assert item["reference"] == row["translated_transcript"] and item["judge"] == "dos palabras"
            continue
        translates = item["target_language"] is not None
        assert translates == (item["task"] not in ("ASR", "TTS"))
        assert item["reference"] == row["translated_transcript" if translates else "transcript"]
        assert (item["source_language"], item["input_text"]) == (row["source_language"], row["transcript"])
        assert item["speaker"] == "m3-170-45"
        assert (item["hypothesis"] is None) == (item["task"] in ("S2ST direct", "TTS"))
        assert (item["judge"] == "dos palabras") == spoken
        assert (item["codes"] is not None) == spoken
        if spoken:
            assert all(0 <= code < 30 for code in item["codes"])
            assert item["seconds"] == pytest.approx(len(item["codes"]) / 25)
            assert -1 <= item["speaker_similarity"] <= 1


def test_the_first_wavs_of_each_task_are_kept(evaluation, items):
    folder = evaluation[1]
    named = {item["audio"] for item in items if item["audio"]}
    assert named == {str(path.relative_to(folder)) for path in (folder / "audio").iterdir()}
    assert len(named) == 3 * 2
    for item in items:
        if item["audio"]:
            assert soundfile.info(folder / item["audio"]).duration == pytest.approx(item["seconds"])
            with soundfile.SoundFile(folder / item["audio"]) as handle:
                assert "synthetic; generator=Triglot" in handle.copy_metadata()["comment"]


def test_the_judge_is_handed_what_was_spoken_in_its_language(evaluation, items, rows):
    judge = evaluation[2]
    assert len(judge.handed) == 4 * 4
    assert all(wave.dtype == np.float32 and wave.ndim == 1 for wave, _ in judge.handed)
    assert [language for _, language in judge.handed].count("en") == 8


def test_the_report(evaluation):
    report = (evaluation[1] / "report.md").read_text(encoding="utf-8")
    table = [line for line in report.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1, "every row has as many cells as the head"
    assert table[0].startswith("| task | direction | items | WER | CER | BLEU | chrF | ASR-BLEU | ASR-WER |")
    assert sum(line.startswith("| S2ST |") for line in table) == 4  # mean, worst, two directions
    assert "| TTS | **mean** | 4 |" in report and "(en" in report and "tok:intl" in report
    assert "100.0 [100.0, 100.0]" in next(line for line in table if line.startswith("| TTS | en "))


# ---- numbers by hand


def spoken(source, target, reference, hypothesis, judge):
    return EvaluatedItem("s2st-0", 0, "S2ST", source, target, None, "in", reference, hypothesis, judge, [1], 1.0)


@pytest.fixture
def by_hand():
    return summarise(
        [
            spoken("en", "es", "uno dos tres cuatro", "uno dos tres cinco", "uno dos tres cinco"),
            spoken("en", "es", "¡Uno, dos!", "uno", "uno dos"),
            spoken("es", "en", "one two three four", "one two three four", "one two three"),
            spoken("es", "en", "one two three four", "one two three four", "one two three four"),
        ],
        EVALUATION_TASKS["S2ST"].measures,
        seed=0,
        resamples=200,
    )


def test_spoken_output_against_the_reference_and_against_the_models_own_text(by_hand):
    es, en = by_hand["directions"]["en-es"], by_hand["directions"]["es-en"]
    assert es["asr_wer"]["value"] == pytest.approx(1 / 6)  # cinco for cuatro
    assert es["asr_wer_own_text"]["value"] == pytest.approx(1 / 5)  # said "dos", printed none
    assert (es["asr_wer_own_text"]["insertions"], es["asr_wer_own_text"]["reference_words"]) == (1, 5)
    assert en["asr_wer"]["value"] == en["asr_wer_own_text"]["value"] == pytest.approx(1 / 8)
    assert en["bleu"]["value"] == pytest.approx(100) and es["bleu"]["value"] < 60
    assert (en["items"], en["sentences"], es["sentences"]) == (2, 1, 2)
    assert by_hand["mean"]["asr_wer"]["value"] == pytest.approx((1 / 6 + 1 / 8) / 2)
    assert by_hand["worst"]["asr_wer"] == {"value": pytest.approx(1 / 6), "direction": "en-es"}
    assert by_hand["worst"]["bleu"]["direction"] == "en-es"
    assert es["asr_wer"]["interval"] == pytest.approx([0, 1 / 4])  # both times the one or the other sentence
    assert en["asr_wer"]["interval"] == pytest.approx([1 / 8, 1 / 8]), "one sentence, whatever is drawn"


def test_a_cell_of_the_report(by_hand):
    results = {
        "checkpoint": "x", "tasks": {"S2ST": by_hand}, "settings": {"judge": "j"}, "versions": {},
        "signatures": signatures(list(by_hand["mean"])),
    }  # fmt: skip
    lines = markdown(results).splitlines()
    head = [cell.strip() for cell in lines[2].split("|")]
    row = dict(zip(head, (cell.strip() for cell in next(line for line in lines if "| es-en |" in line).split("|"))))
    assert row["ASR-WER"] == "12.5 [12.5, 12.5]" and row["BLEU"] == "100.0 [100.0, 100.0]" and row["items"] == "2"
    worst = dict(zip(head, (cell.strip() for cell in next(line for line in lines if "| worst |" in line).split("|"))))
    assert worst["ASR-WER"] == "16.7 (en-es)"
    assert "speaker similarity" not in head


def test_a_model_that_prints_nothing_has_no_error_rate_to_its_own_text():
    found = summarise([spoken("en", "es", "uno", "", "uno")], ["asr_wer_own_text", "asr_wer"], 0, 10)
    assert found["directions"]["en-es"]["asr_wer_own_text"] == {"value": None, "interval": None}
    assert found["mean"]["asr_wer_own_text"]["value"] is None and "asr_wer_own_text" not in found["worst"]
    assert found["mean"]["asr_wer"] == {"value": 0.0, "interval": [0.0, 0.0]}


# ---- how it asks


def test_answers_are_those_of_the_public_pipelines(random_checkpoint, rows, items):
    from transformers import pipeline

    ast = pipeline("speech-to-text-translation", model=str(random_checkpoint))
    for item in (item for item in items if item["task"] == "AST"):
        found = ast(
            rows[item["row"]]["audio"],
            source_language=item["source_language"],
            target_language=item["target_language"],
        )
        assert found["text"] == item["hypothesis"]


def test_speech_has_the_voice_of_the_rows_audio(random_checkpoint, rows):
    model = CheckpointUnderTest(random_checkpoint)
    row = rows[0]
    for chain, target in (("S2ST", "es"), ("TTS", None)):
        asked = Question(row["transcript"], row["audio"], "en", target, "audio")
        with_voice = model.answer(chain, [asked], {})[0]
        voice = model.processor.codecs.voice(model.hear(asked))
        again = model.processor.codecs.decode("speech", [with_voice.codes], voices=[voice])[0]
        np.testing.assert_allclose(with_voice.pieces[-1], again.numpy(), atol=1e-4)
    silent = model.answer("TTS", [Question(row["transcript"], None, "en", None, "audio")], {})[0]
    default = model.processor.codecs.decode("speech", [silent.codes])[0]
    np.testing.assert_allclose(silent.pieces[-1], default.numpy(), atol=1e-4)


def test_a_question_of_several_rows_is_asked_once():
    """Three languages: each recording is in two rows; and MT does not care who speaks."""
    rows = demo_world(DemoWorldArguments(sentences=2, languages="en es hi", speakers="m3-170-45 f2-180-55"))
    codes = {"en": "en", "es": "es", "hi": "hi"}
    count = {name: len(questions(task, rows, codes, None, 0)) for name, task in EVALUATION_TASKS.items()}
    assert len(rows) == 24
    assert count == {
        "ASR": 12, "AST": 24, "AST direct": 24, "MT": 12, "S2ST": 24, "S2ST direct": 24, "TTS": 12,
        "CAPTION": 6, "T2I": 6, "speech to image": 12, "image to speech": 12,
    }  # fmt: skip
    some = questions(EVALUATION_TASKS["AST"], rows, codes, 2, 5)
    assert len(some) == 12 and some == questions(EVALUATION_TASKS["AST"], rows, codes, 2, 5)
    assert some != questions(EVALUATION_TASKS["AST"], rows, codes, 2, 6)


def test_limit_no_judge_and_an_older_evaluation_in_the_place(random_checkpoint, rows, tmp_path):
    folder = tmp_path / "out"
    settings = {"output_dir": folder, "limit": 1, "keep_audio": 0, "resamples": 10, "progress": False}
    for tasks in (["ASR", "S2ST"], ["S2ST"]):
        results = evaluate_checkpoint(random_checkpoint, rows, tasks=tasks, **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing half-written stays beside it"
    assert list(results["tasks"]) == ["S2ST"]
    assert set(results["tasks"]["S2ST"]["mean"]) == {"bleu", "chrf"}
    assert len((folder / "items.jsonl").read_text().splitlines()) == 2  # one a direction
    assert not list((folder / "audio").iterdir())
    assert "No judge was given" in (folder / "report.md").read_text()


def test_texts_alone_need_no_sound(random_checkpoint, rows, tmp_path):
    texts = rows.remove_columns(["audio", "translated_audio", "speaker"])
    results = evaluate_checkpoint(
        random_checkpoint, texts, output_dir=tmp_path / "out", tasks=["MT", "TTS"], resamples=10, progress=False
    )
    assert results["tasks"]["MT"]["items"] == results["tasks"]["TTS"]["items"] == 4


# ---- what it refuses, before any work


def refused(checkpoint, rows, match, tmp_path, **settings):
    settings = {"output_dir": tmp_path / "out", "tasks": ["AST"], "progress": False, **settings}
    with pytest.raises(TriglotError, match=match):
        evaluate_checkpoint(checkpoint, rows, **settings)
    assert not (tmp_path / "out").exists()


def test_rows_that_cannot_be_evaluated(random_checkpoint, rows, tmp_path):
    refused(
        random_checkpoint, rows.remove_columns("transcript"), r"'AST' needs the columns \['transcript'\]", tmp_path
    )
    refused(random_checkpoint, rows.select([]), "no rows", tmp_path)
    refused(random_checkpoint, DatasetDict({"test": rows}), r"splits \['test'\]", tmp_path)
    refused(random_checkpoint, list(rows), "datasets.Dataset", tmp_path)
    french = rows.map(lambda row: {"target_language": "fr"})
    refused(random_checkpoint, french, "target_language of row 0 'fr' is unknown", tmp_path)
    same = rows.map(lambda row: {"target_language": row["source_language"]})
    refused(random_checkpoint, same, "Row 0 translates from 'en' to itself", tmp_path)
    nothing = rows.map(lambda row: {"translated_transcript": None})
    refused(random_checkpoint, nothing, "No row has the fields that 'AST'", tmp_path)


def test_settings_that_cannot_be_evaluated(random_checkpoint, rows, tmp_path):
    refused(random_checkpoint, rows, "Unknown task 'OCR'", tmp_path, tasks=["OCR"])
    refused(random_checkpoint, rows, "No task", tmp_path, tasks=[])
    refused(random_checkpoint, rows, "limit is 0", tmp_path, limit=0)
    refused(random_checkpoint, rows, "batch_size is 0", tmp_path, batch_size=0)
    refused(tmp_path / "none", rows, "cannot be loaded", tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    refused(random_checkpoint, rows, "is a file", tmp_path, output_dir=file)
    refused(random_checkpoint, rows, "cannot be written", tmp_path, output_dir=file / "out")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("years of work")
    refused(random_checkpoint, rows, "no evaluation", tmp_path, output_dir=tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_a_failure_half_way_leaves_nothing(random_checkpoint, rows, tmp_path):
    class Lazy:
        def transcribe(self, waveforms, languages):
            return []

    refused(random_checkpoint, rows, "0 answers to", tmp_path, tasks=["TTS"], judge=Lazy())
    assert not list(tmp_path.iterdir())


# ---- command line


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def test_run_from_the_command_line(random_checkpoint, rows, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate_module, "load_judge", EchoJudge)
    rows.save_to_disk(str(tmp_path / "rows"))
    arguments = parsed(
        random_checkpoint, "--rows", tmp_path / "rows", "--out", tmp_path / "out",
        "--tasks", "TTS,S2ST direct", "--limit", "1", "--judge", "folder",
    )  # fmt: skip
    results = run(arguments)
    assert list(results["tasks"]) == ["TTS", "S2ST direct", "judge on recordings"]
    items = [json.loads(line) for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines()]
    assert {item["judge"] for item in items} == {"folder"}
    assert results["weights"] == weights_digest(random_checkpoint) is not None
    words = shlex.split(results["command"])
    assert words[:3] == ["triglot", "evaluate", str(random_checkpoint)] and "--seed" not in words
    assert parsed(*words[2:]) == arguments
    assert "| TTS | **mean** | 2 |" in capsys.readouterr().out


def test_rows_of_a_folder_or_a_parquet_file(rows, tmp_path):
    rows.save_to_disk(str(tmp_path / "rows"))
    rows.to_parquet(str(tmp_path / "rows.parquet"))
    for name in ("rows", "rows.parquet"):
        loaded = load_rows(tmp_path / name).cast_column("audio", Audio(decode=False))
        assert loaded[0]["transcript"] == rows[0]["transcript"]
        assert loaded[0]["audio"]["bytes"] == rows[0]["audio"]["bytes"]
    DatasetDict({"test": rows}).save_to_disk(str(tmp_path / "splits"))
    (tmp_path / "note.txt").write_text("no rows")
    for name, match in (("splits", "splits"), ("note.txt", "holds no rows"), ("none", "There is no")):
        with pytest.raises(TriglotError, match=match):
            load_rows(tmp_path / name)


def test_help_needs_no_torch():
    assert list(EVALUATION_TASKS) == list(TASK_NAMES)
    code = (
        "import argparse, sys, triglot; from triglot.training.evaluate_arguments import add_arguments; "
        "add_arguments(argparse.ArgumentParser()); print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---- stock models as judge and embedding


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """Folders of a tiny CTC recogniser and a tiny x-vector model with random weights."""
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2ForXVector,
        Wav2Vec2Processor,
    )

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("stock")
    (root / "vocab.json").write_text(json.dumps({symbol: i for i, symbol in enumerate("_?|abcdefgh")}))
    tokenizer = Wav2Vec2CTCTokenizer(str(root / "vocab.json"), pad_token="_", unk_token="?", word_delimiter_token="|")
    sizes = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
        "conv_dim": (8, 8), "conv_stride": (10, 16), "conv_kernel": (10, 16), "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 11, "pad_token_id": 0,
        "tdnn_dim": (8, 8), "tdnn_kernel": (3, 3), "tdnn_dilation": (1, 1), "xvector_output_dim": 6,
    }  # fmt: skip
    config, extractor = Wav2Vec2Config(**sizes), Wav2Vec2FeatureExtractor()
    Wav2Vec2ForCTC(config).save_pretrained(root / "ctc")
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(root / "ctc")
    Wav2Vec2ForXVector(config).save_pretrained(root / "xvector")
    extractor.save_pretrained(root / "xvector")
    return root


def test_any_ctc_recogniser_is_a_judge(stock):
    judge, rng = CtcJudge(stock / "ctc"), np.random.default_rng(0)
    waves = [rng.normal(size=size).astype(np.float32) for size in (16_000, 8_000)]
    texts = judge.transcribe(waves, ["en", "es"])
    assert len(texts) == 2 and all(isinstance(text, str) for text in texts)
    assert texts[1] == judge.transcribe(waves[1:], ["es"])[0]
    with pytest.raises(TriglotError, match="holds no CTC recogniser"):
        CtcJudge(stock / "none")


def test_a_checkpoint_that_hears_is_a_judge(random_checkpoint):
    judge, rng = load_judge(random_checkpoint), np.random.default_rng(0)
    waves = [0.1 * rng.normal(size=size).astype(np.float32) for size in (*[16_000] * 8, 100, 8_000)]
    texts = judge.transcribe(waves, ["en", "es"] * 5)
    assert len(texts) == 10 and all(isinstance(text, str) for text in texts) and texts[8] == ""
    assert texts[9] == judge.transcribe(waves[9:], ["es"])[0]


def test_any_x_vector_model_compares_voices(stock):
    embed, wave = XVector(stock / "xvector"), np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    assert embed(wave).shape == (6,)
    with pytest.raises(TriglotError, match="holds no speaker"):
        XVector(stock / "none")


# ---- true numbers


@pytest.mark.slow
def test_a_trained_checkpoint_knows_its_own_rows(overfit_checkpoint, tmp_path):
    rows, judge = demo_world(DemoWorldArguments(sentences=4)), load_judge(overfit_checkpoint)
    assert isinstance(
        judge, CheckpointJudge
    )  # itself: no independent judge, but one that can tell noise from its words
    assert judge.transcribe([np.zeros(100, np.float32)] * 2, ["en", "es"]) == ["", ""]
    tasks = evaluate_checkpoint(overfit_checkpoint, rows, output_dir=tmp_path / "out", judge=judge)["tasks"]
    value = {(name, key): found["value"] for name, task in tasks.items() for key, found in task["mean"].items()}
    assert value["ASR", "wer"] == value["ASR", "cer"] == 0
    for task in ("AST", "MT", "S2ST"):
        assert value[task, "bleu"] == pytest.approx(100)
    assert value["S2ST", "asr_bleu"] == pytest.approx(100) and value["S2ST", "asr_wer_own_text"] == 0
    assert value["TTS", "asr_wer"] == value["judge on recordings", "asr_wer"] == 0
