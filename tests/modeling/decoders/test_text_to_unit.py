"""TextToUnit in its two forms: codes in range, batches, padding, files, what it refuses, and that it learns by heart."""

import math

import pytest
import torch
from transformers import AutoModel

from triglot.modeling.decoders.configuration_text_to_unit import TextToUnitConfig
from triglot.modeling.decoders.modeling_text_to_unit import TextToUnit

FORMS = pytest.mark.parametrize("autoregressive", [False, True], ids=["at once", "one by one"])
TEXTS, LANGUAGES = ["una estrella", "a star", ""], ["es", "en", "es"]


def smoke_model(autoregressive: bool, **changes) -> TextToUnit:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 1, "num_decoder_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 48, "aligner_size": 16, "dropout": 0.0, "initializer_range": 0.15,
    }  # fmt: skip
    known = {"codebook_size": 20, "fingerprint": "smoke", "languages": ["en", "es"]}
    config = TextToUnitConfig(**{**known, **sizes, **changes}, autoregressive=autoregressive)
    return TextToUnit(config).eval()


def batch(model: TextToUnit, repeats: int = 2) -> dict[str, torch.Tensor]:
    """Two texts of different length with codes that go with their characters, padded by chance."""
    texts = ("a star is red", "una luz")
    read = [model.symbols_of(text, language) for text, language in zip(texts, ("en", "es"))]
    codes = [(item * 7 % model.codebook_size).repeat_interleave(repeats) for item, _ in read]
    made = {
        "languages": torch.tensor([place for _, place in read]),
        "symbols": torch.randint(5, (2, max(len(item) for item, _ in read))),
        "codes": torch.randint(model.codebook_size, (2, max(map(len, codes)))),
    }
    for name, rows in (("symbols", [item for item, _ in read]), ("codes", codes)):
        mask = torch.zeros(made[name].shape, dtype=torch.bool)
        for row, item in enumerate(rows):
            made[name][row, : len(item)], mask[row, : len(item)] = item, True
        made[f"{name.removesuffix('s')}_mask"] = mask
    return made


@FORMS
def test_codes_are_in_range_and_a_batch_equals_its_items(autoregressive):
    model = smoke_model(autoregressive)
    together = model.units(TEXTS, LANGUAGES)
    for text, language, codes in zip(TEXTS, LANGUAGES, together):
        most = math.ceil(model.config.most_codes_per_symbol * (len(text) + 2))
        assert codes.dtype == torch.int64 and codes.ndim == 1 and 1 <= len(codes) <= most
        assert int(codes.min()) >= 0 and int(codes.max()) < 20
        assert torch.equal(codes, model.units([text], [language])[0])
    assert model.units([], []) == []
    assert (model.codebook_size, model.fingerprint) == (20, "smoke")


@FORMS
def test_case_spaces_and_unknown_characters_do_not_count(autoregressive):
    model = smoke_model(autoregressive)
    plain, other = model.units(["a red star", "  A  «red»\nSTAR 7"], ["en", "en"])
    assert torch.equal(plain, other)


@FORMS
def test_languages_differ(autoregressive):
    model = smoke_model(autoregressive)
    with torch.no_grad():
        model.languages.weight.mul_(5)
    one, two = model.units(["a star"] * 2, ["en", "es"])
    assert one.tolist() != two.tolist()


@FORMS
def test_saving_and_loading_changes_nothing(autoregressive, tmp_path):
    model = smoke_model(autoregressive, characters=" aáñरत")
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, TextToUnit) and loaded.config.characters == " aáñरत"
    texts = ["á ñ रा", "a"]
    for one, two in zip(model.units(texts, LANGUAGES[:2]), loaded.units(texts, LANGUAGES[:2])):
        assert torch.equal(one, two)
    assert not list(tmp_path.glob("*.bin"))


@FORMS
def test_the_gradient_reaches_every_parameter(autoregressive):
    model = smoke_model(autoregressive).train()
    loss = model(**batch(model)).loss
    assert math.isfinite(float(loss.detach()))
    loss.backward()
    still = [
        name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.abs().sum() > 0
    ]
    assert still == []


@FORMS
def test_padding_does_not_reach_the_loss(autoregressive):
    model = smoke_model(autoregressive)
    inputs = batch(model)
    first = model(**inputs)
    for name in ("symbols", "codes"):
        mask = inputs[f"{name.removesuffix('s')}_mask"]
        inputs[name] = torch.where(mask, inputs[name], (inputs[name] + 1) % 5)
    second = model(**inputs)
    assert torch.equal(first.loss, second.loss) and torch.equal(first.accuracy, second.accuracy)


@FORMS
@pytest.mark.parametrize(
    ("texts", "languages", "message"),
    [
        (["a"], ["fr"], "'fr'; this TextToUnit says en, es"),
        (["a"], ["en", "es"], "2 languages came for 1 texts"),
        (["a " * 700], ["en"], "at most 1000"),
    ],
)
def test_what_cannot_be_said_is_a_value_error(autoregressive, texts, languages, message):
    with pytest.raises(ValueError, match=message):
        smoke_model(autoregressive).units(texts, languages)


@pytest.mark.parametrize("text", ["", " ", "日本", "7!"])
def test_nothing_to_say_is_told_to_who_asks_and_a_pause_to_who_does_not(text):
    model = smoke_model(False)
    with pytest.raises(ValueError, match="nothing to say"):
        model.check_text(text, "en")
    assert torch.equal(model.units([text], ["en"])[0], model.units([""], ["en"])[0])


@FORMS
def test_weights_that_are_nan_are_named(autoregressive):
    model = smoke_model(autoregressive)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ValueError, match="weights are broken"):
        model.units(["a"], ["en"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"characters": "aa"}, "each once"),
        ({"languages": []}, "languages"),
        ({"hidden_size": 30}, "must divide by 4"),
        ({"kernel_size": 4}, "odd"),
        ({"longest_text": 0}, "above 0"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        smoke_model(False, **changes)


def test_speech_that_never_ends_is_ended():
    model = smoke_model(True, most_codes_per_symbol=1.5)
    with torch.no_grad():
        model.head.bias[20] = -1e4  # the end is never written
    assert [len(codes) for codes in model.units(["a star"], ["en"])] == [12]


def test_durations_of_nothing_still_say_something():
    model = smoke_model(False)
    with torch.no_grad():
        model.dur_predictor.proj.bias.fill_(-20.0)
    assert len(model.units(["a star"], ["en"])[0]) == 1


@FORMS
def test_two_sentences_are_learnt_by_heart(autoregressive):
    """Every character lasts two codes: length, order and codes come back."""
    model = smoke_model(autoregressive).train()
    inputs = batch(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss = model(**inputs).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    for row, codes in enumerate(model.units(["a star is red", "una luz"], ["en", "es"])):
        assert codes.tolist() == inputs["codes"][row][inputs["code_mask"][row]].tolist()
