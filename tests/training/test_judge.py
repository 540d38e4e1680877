"""The judge: items alone as in a batch, scripts apart, strings that are no sentences, training that resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from environments import ROOT

from triglot import TriglotError
from triglot.training.data.splits import held_out_sentences
from triglot.training.evaluate_models import load_judge
from triglot.training.judge import Judge, JudgeConfig
from triglot.training.train_judge import (
    JudgeArguments,
    RandomStrings,
    StringCollator,
    train_judge,
    word_error_rates,
)

JUDGE = ROOT / "tests" / "data" / "judge"
SMALL = {"hidden_size": 32, "num_blocks": 2, "num_workers": 0, "batch_size": 4, "logging_steps": 1, "warmup_steps": 0}


def small_judge() -> Judge:
    torch.manual_seed(0)
    return Judge(JudgeConfig(alphabets={"en": " ab", "hi": " क"}, hidden_size=16, num_blocks=2)).eval()


def test_a_batch_reads_like_its_items_and_scripts_do_not_mix():
    judge = small_judge()
    waves = [torch.randn(length, generator=torch.Generator().manual_seed(length)) for length in (9_000, 4_321)]
    batch = torch.zeros(2, 9_000)
    batch[0], batch[1, :4_321] = waves
    batch[1, 4_321:] = 5.0  # rubbish behind the end
    together = judge(batch, torch.tensor([9_000, 4_321]), torch.tensor([0, 1]))["logits"]
    for index, wave in enumerate(waves):
        alone = judge(wave[None], torch.tensor([len(wave)]), torch.tensor([index]))["logits"][0]
        torch.testing.assert_close(together[index, : len(alone)], alone, atol=1e-4, rtol=1e-4)
    characters = judge.config.characters
    assert characters == " abक"
    assert together[0, :, 1 + characters.index("क")].isneginf().all()
    assert together[1, :, 1 + characters.index("a")].isneginf().all()
    assert judge.transcribe([np.zeros(0, np.float32)], ["en"]) == [""]
    lexicon = Judge(
        JudgeConfig(alphabets=judge.config.alphabets, words={"en": ["ab", "b"]}, hidden_size=16, num_blocks=2)
    )
    assert set(lexicon.transcribe([waves[0].numpy()], ["en"])[0].split()) <= {"ab", "b"}
    with pytest.raises(TriglotError, match="knows en, hi; 'fr' came"):
        judge.transcribe([np.zeros(16_000, np.float32)], ["fr"])


def test_the_strings_are_no_sentences_and_repeat():
    strings, again = RandomStrings(40, 0, JudgeArguments()), RandomStrings(40, 0, JudgeArguments())
    texts = {strings[index]["text"] for index in range(40)}
    assert texts == {again[index]["text"] for index in range(40)}
    sentences = {item.sentence(language) for item in held_out_sentences(500) for language in ("en", "es", "hi")}
    assert len(texts) > 35 and not texts & sentences
    assert all(len(words) > 500 for words in strings.types.values())
    assert all(piece.count(" ") in (1, 2) for piece in strings.piece_types["es"])
    assert set(strings.pieces["es"]) == set(strings.piece_types["es"])
    assert strings.pieces["en"].count("of a") > 100 and strings.piece_types["en"].count("of a") == 1


def test_training_goes_on_where_it_was_cut_off(tmp_path):
    arguments = JudgeArguments(**SMALL, max_steps=4, save_steps=2)
    folder = train_judge(tmp_path / "judge", arguments)
    assert load_judge(folder).config.hidden_size == 32
    first = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    train_judge(folder, arguments)  # from the last checkpoint
    assert (folder / "model.safetensors").read_bytes() == first
    once_more = JudgeArguments(**SMALL, max_steps=1, save_steps=2, learning_rate=0.0, start_from=str(folder))
    weights = (load_judge(path).state_dict() for path in (folder, train_judge(tmp_path / "again", once_more)))
    for (name, before), after in zip(next(weights).items(), next(weights).values(), strict=True):
        torch.testing.assert_close(after, before, msg=name)
    wider = JudgeArguments(**{**SMALL, "hidden_size": 48}, max_steps=1, start_from=str(folder))
    with pytest.raises(TriglotError, match="of other sizes"):
        train_judge(tmp_path / "wider", wider)
    with pytest.raises(TriglotError, match="other settings"):
        train_judge(folder, JudgeArguments(**SMALL, max_steps=5, save_steps=2))
    with pytest.raises(TriglotError, match="holds no CTC recogniser"):
        load_judge(Path(tmp_path) / "none")


def test_one_batch_is_learnt():
    strings = RandomStrings(4, 0, JudgeArguments(augmented_share=0.0))
    torch.manual_seed(0)
    model = Judge(JudgeConfig(alphabets=strings.alphabets, hidden_size=64, num_blocks=3))
    batch = StringCollator(model.config.characters)([strings[index] for index in range(4)])
    batch.pop("feature_mask")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        optimizer.zero_grad()
        loss = model(**batch)["loss"]
        loss.backward()
        optimizer.step()
    assert loss < 0.3


@pytest.mark.parametrize("voices", ["training", "held_out"])
def test_the_committed_judge_hears_recordings(voices):
    rates = word_error_rates(load_judge(JUDGE), voices, sentences=25, seed=2)
    assert sum(rates.values()) / len(rates) <= 1.5, rates


def test_the_committed_judge_hears_nothing_in_silence():
    assert load_judge(JUDGE).transcribe([np.zeros(32_000, np.float32)], ["es"]) == [""]
