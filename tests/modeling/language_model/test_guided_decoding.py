"""Guidance: the logits of pictures are those of the formula, all else is as without, and everything still parses."""

import copy

import pytest
import torch
from conftest import buzz
from image_testing import seeing
from test_generation_triglot import EOS, GRAMMAR, MEDIA, PAD, ROWS, check_parses
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from triglot import TokenSpace, extend_text_model

SIX, BEGIN, END = 6, 55, 56  # codes of a picture, <|image|>, <|/image|>
NULL = torch.tensor([[PAD, 30, 31]])  # one id of padding
NULL_MASK = torch.tensor([[0, 1, 1]])
CONFIGS = {
    "fused": LlamaConfig(
        vocab_size=ROWS,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.3,
    ),
    "cached": GPT2Config(vocab_size=ROWS, n_embd=16, n_layer=2, n_head=2, n_positions=200, initializer_range=0.3),
}


@pytest.fixture(scope="module", params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    model = extend_text_model(AutoModelForCausalLM.from_config(CONFIGS[request.param]), MEDIA, "mean").eval()
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=1.0)
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=1.0)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = EOS, PAD
    model.generation_config.span_grammar = GRAMMAR
    assert model.config.span_tokens["image"] == (BEGIN, END)
    return model


def draw(model, prompts, task="T2I", scale=3.0, mask=None, **options):
    mask = torch.ones_like(prompts) if mask is None else mask
    copies = len(prompts)
    output = model.generate(
        input_ids=prompts, attention_mask=mask, task=task, guidance_scale=scale, negative_prompt_ids=NULL.repeat(copies, 1),
        negative_prompt_attention_mask=NULL_MASK.repeat(copies, 1), **{"do_sample": False, **options},
    )  # fmt: skip
    return output[:, prompts.shape[1] :].tolist()


@torch.no_grad()
def by_hand(model, prompt, scale):
    """Greedy codes of one picture behind a prompt, without cache, batch or padding."""
    low, high = model.config.modality_ranges["image"]
    ids = [BEGIN]
    for _ in range(SIX):
        conditional, null = (
            model(torch.tensor([[*before, *ids]])).logits[0, -1, low:high] for before in (prompt, NULL[0, 1:].tolist())
        )
        ids.append(low + int((null + scale * (conditional - null)).argmax()))
    return [*ids, END]


@pytest.mark.parametrize("scale", [0.0, 0.5, 4.0])
def test_the_formula(model, scale):
    generator = torch.Generator().manual_seed(3)
    prompts = torch.randint(4, 36, (3, 5), generator=generator)
    for prompt, row in zip(prompts.tolist(), draw(model, prompts, scale=scale)):
        assert row == [*by_hand(model, prompt, scale), EOS]


def test_it_makes_a_difference_and_one_makes_none(model):
    prompts = torch.randint(4, 36, (20, 5), generator=torch.Generator().manual_seed(3))
    plain = model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), task="T2I", do_sample=False)
    assert draw(model, prompts, scale=1.0) == plain[:, 5:].tolist() != draw(model, prompts, scale=4.0)


def test_padding_changes_nothing(model):
    prompts = torch.randint(4, 36, (2, 6), generator=torch.Generator().manual_seed(4))
    mask = torch.ones_like(prompts)
    mask[0, :3], prompts[0, :3] = 0, PAD
    together = draw(model, prompts, mask=mask)
    assert together == [draw(model, prompts[:1, 3:])[0], draw(model, prompts[1:])[0]]


def test_a_chain_is_guided_in_its_picture_only_and_against_a_twin_that_knows_nothing_of_it(model):
    prompts = torch.randint(4, 36, (4, 5), generator=torch.Generator().manual_seed(5))
    plain = model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), task="ASR T2I", do_sample=False)
    for prompt, row, without in zip(prompts.tolist(), draw(model, prompts, "ASR T2I", 2.5), plain[:, 5:].tolist()):
        check_parses(model, [*row, EOS], "ASR T2I")
        text = row[: row.index(BEGIN)]
        assert text == without[: without.index(BEGIN)]
        assert row[len(text) : row.index(EOS)] == by_hand(model, [*prompt, *text], 2.5)


@pytest.mark.parametrize("task", ["T2I", "ASR T2I"])
def test_samples_at_temperature_5_parse(model, task):
    torch.manual_seed(6)
    prompts = torch.randint(4, 36, (40, 4))
    options = {"do_sample": True, "temperature": 5.0, "top_k": 0, "num_return_sequences": 3}
    rows = draw(model, prompts, task, **options)
    assert len(rows) == 120 and len({tuple(row) for row in rows[:3]}) == 3
    for row in rows:
        check_parses(model, row, task)


def test_returned_sequences_of_a_generation_config_are_those_of_their_prompts(model):
    prompts = torch.randint(4, 36, (3, 5), generator=torch.Generator().manual_seed(9))
    settings = copy.copy(model.generation_config)
    settings.do_sample, settings.top_k, settings.num_return_sequences = True, 1, 2
    twice = draw(model, prompts, generation_config=settings, do_sample=True)
    assert twice == [row for row in draw(model, prompts) for _ in range(2)]


def test_what_follows_a_picture_is_not_guided(model):
    prompts = torch.randint(4, 36, (8, 5), generator=torch.Generator().manual_seed(10))
    nulls = {"negative_prompt_ids": NULL.repeat(8, 1), "negative_prompt_attention_mask": NULL_MASK.repeat(8, 1)}
    options = {"attention_mask": torch.ones_like(prompts), "do_sample": False, "guidance_scale": 9.0, **nulls}
    rows = model.generate(input_ids=prompts, output_spans=torch.tensor([[2, 0]] * 8), **options)
    through = rows[:, : 5 + SIX + 2]
    text = model.generate(input_ids=through, output_spans=torch.tensor([[0]] * 8), do_sample=False)
    assert [strip(row) for row in rows.tolist()] == [strip(row) for row in text.tolist()]


def strip(row):
    return row[: row.index(EOS)]


def test_a_picture_between_other_spans(model):
    prompts = torch.randint(4, 36, (5, 4), generator=torch.Generator().manual_seed(7))
    spans = torch.tensor([[0, 2, 0, 2, 1]] * 5)
    options = {"negative_prompt_ids": NULL.repeat(5, 1), "negative_prompt_attention_mask": NULL_MASK.repeat(5, 1)}
    torch.manual_seed(8)
    output = model.generate(
        input_ids=prompts, attention_mask=torch.ones_like(prompts), output_spans=spans, guidance_scale=3.0,
        do_sample=True, temperature=2.0, **options,
    )  # fmt: skip
    for row in output[:, 4:].tolist():
        content = row[: row.index(EOS)]
        runs = TokenSpace(model.config.modalities).split(content)
        assert [run.modality for run in runs] == ["text", "image", "text", "image", "speech"]
        assert [len(run.codes) for run in runs if run.modality == "image"] == [6, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "TTS"}, "writes none"),
        ({"task": ["T2I", "TTS"]}, "one task"),
        ({"num_beams": 2}, "not with beams"),
        ({"scale": -1.0}, "at least 0"),
        ({"negative_prompt_ids": None}, "needs negative_prompt_ids"),
        ({"negative_prompt_ids": NULL}, "1 rows for 2"),
        ({"return_dict_in_generate": True}, "nothing else"),
    ],
)
def test_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        options = {"task": "T2I", "scale": 3.0, "negative_prompt_ids": NULL.repeat(2, 1), **options}
        model.generate(
            input_ids=torch.full((2, 4), 5), attention_mask=torch.ones(2, 4, dtype=torch.long),
            guidance_scale=options.pop("scale"), **options,
        )  # fmt: skip


def test_pictures_are_drawn_as_the_generation_config_says(random_checkpoint):
    model, processor = seeing(random_checkpoint)
    inputs = processor(text=["a small red circle"] * 2, task="T2I", source_language="en", guidance=True)
    asked = {**inputs, "max_new_tokens": 20}
    plain = model.generate(**asked)
    assert torch.equal(plain[0], plain[1])  # greedy
    model.generation_config.drawing = {"temperature": 1.0, "guidance_scale": 2.0}
    drawn = [(torch.manual_seed(seed), model.generate(**asked))[1] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(0)
    by_hand = model.generate(**asked, do_sample=True, temperature=1.0, guidance_scale=2.0)
    assert torch.equal(by_hand, drawn[0])
    assert torch.equal(
        model.generate(**asked, do_sample=False, guidance_scale=1.0), plain
    )  # unless the call says otherwise


@pytest.mark.parametrize("drawing", [None, {"temperature": 50.0}])
def test_pictures_are_sampled_from_all_codes(drawing):
    """Transformers' own default would leave the 50 likeliest."""
    config = LlamaConfig(
        vocab_size=ROWS, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    media = [{"name": "image", "size": 200, "grid": [1, 1]}]
    model = extend_text_model(AutoModelForCausalLM.from_config(config), media, "mean").eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.05, generator=torch.Generator().manual_seed(0))
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = EOS, PAD
    model.generation_config.drawing = drawing

    def codes(**options):
        torch.manual_seed(0)
        prompts, spans = torch.full((1, 3), 5), torch.tensor([[1]])
        options |= {} if drawing else {"do_sample": True}
        asked = {"input_ids": prompts, "attention_mask": torch.ones_like(prompts), "output_spans": spans}
        return set(model.generate(**asked, num_return_sequences=600, **options)[:, 4].tolist())

    assert len(codes()) > 150 and len(codes(top_k=3)) == 3 and len(codes(top_p=0.2)) < 60
    if drawing:
        model.generation_config.drawing = {**drawing, "top_k": 2}
        assert len(codes()) == 2 and len(codes(top_k=3)) == 3
        model.generation_config.drawing = {**drawing, "top_p": 0.2}
        assert len(codes()) < 60


def test_what_stands_beside_a_picture_stays_greedy(random_checkpoint):
    model, processor = seeing(random_checkpoint)
    inputs = processor(audio=buzz(0.5), sampling_rate=16_000, task="ASR T2I", source_language="en", guidance=True)
    inputs = {name: value.repeat(12, 1) for name, value in inputs.items()}
    greedy = [processor.runs(row) for row in model.generate(**inputs)[:, inputs["input_ids"].shape[1] :].tolist()]
    for scale in (1.0, 2.0):
        model.generation_config.drawing = {"temperature": 3.0, "guidance_scale": scale}
        torch.manual_seed(0)
        new = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :].tolist()
        texts, pictures = zip(*([run.codes for run in processor.runs(row)] for row in new))
        assert set(map(tuple, texts)) == {tuple(greedy[0][0].codes)} and len(set(map(tuple, pictures))) > 1
