"""Span-constrained generation: with random weights at temperature 5, every sample of every task parses."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

from triglot import TokenSpace, TriglotForConditionalGeneration, extend_text_model
from triglot.modeling.language_model.span_grammar import NO_SPAN, SpanGrammar, SpanLogitsProcessor
from triglot.processing.task_formats import TASKS, parse_chain

ROWS, EOS, PAD = 40, 2, 0
MEDIA = [{"name": "speech", "size": 12, "frame_rate": 25.0}, {"name": "image", "size": 6, "grid": [2, 3]}]
CHAINS = [*TASKS, "ASR AST", "ASR AST S2ST", "CAPTION MT TTS", "ASR T2I", "S2ST ASR"]
GRAMMAR = {
    "budgets": {"text": 5, "speech": 7},
    "text_size": 36,
    "forbidden_text": [0, 1, 2, 3],
    "tasks": {name: [slot.modality for slot in parse_chain(name).outputs] for name in CHAINS},
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(
        LlamaConfig(vocab_size=ROWS, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    )
    model = extend_text_model(base, MEDIA, "mean").eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=1.0)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = EOS, PAD
    model.generation_config.span_grammar = GRAMMAR
    return model


def sample(model, tasks, **options):
    prompts = torch.randint(4, 36, (len(tasks), 3))
    options = {"do_sample": True, "temperature": 5.0, "top_k": 0, **options}
    output = model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), task=tasks, **options)
    return output[:, 3:].tolist()


def check_parses(model, row, task):
    """The row's runs are exactly the task's outputs, inside their budgets, and nothing follows <eos>."""
    assert EOS in row, "every sample ends"
    content, rest = row[: row.index(EOS)], row[row.index(EOS) :]
    assert set(rest) <= {EOS, PAD}
    runs = TokenSpace(model.config.modalities).split(content)
    wanted = GRAMMAR["tasks"][task]
    came = [run.modality for run in runs]
    assert came == wanted or (wanted[-1] == "text" and came == wanted[:-1]), "only a final text may be empty"
    for run in runs:
        if run.modality == "text":
            assert len(run.codes) <= 5 and all(4 <= code < 36 for code in run.codes)
        else:
            assert len(run.codes) == 6 if run.modality == "image" else 1 <= len(run.codes) <= 7


def test_ten_thousand_samples_of_all_tasks_in_mixed_batches_parse(model):
    torch.manual_seed(1)
    batch = (CHAINS * 42)[:500]
    for _ in range(20):
        for row, task in zip(sample(model, batch), batch):
            check_parses(model, row, task)


def test_samples_differ_and_use_the_whole_range(model):
    torch.manual_seed(2)
    rows = sample(model, ["TTS"] * 300)
    codes = {
        code
        for row in rows
        for run in TokenSpace(model.config.modalities).split(row, (EOS, PAD))
        for code in run.codes
    }
    assert codes == set(range(12))
    assert len({len(row[: row.index(EOS)]) for row in rows}) > 3, "spans end by themselves, not only by their budget"


@pytest.mark.parametrize("bound", [13, 16, 20])
def test_a_bound_on_all_new_tokens_still_parses(model, bound):
    torch.manual_seed(3)
    tasks = ["ASR AST S2ST", "ASR", "CAPTION MT TTS", "T2I"] * 20
    for row, task in zip(sample(model, tasks, max_new_tokens=bound), tasks):
        assert len(row) <= bound
        check_parses(model, row, task)


def test_max_length_counts_the_prompt(model):
    rows = sample(model, ["ASR AST S2ST"] * 10, max_length=3 + 13)
    for row in rows:
        assert len(row) <= 13
        check_parses(model, row, "ASR AST S2ST")


def test_beams_and_returned_sequences_parse(model):
    tasks = ["ASR AST S2ST", "T2I", "S2ST"]
    prompts = torch.randint(4, 36, (3, 3))
    output = model.generate(
        input_ids=prompts, attention_mask=torch.ones_like(prompts), task=tasks, num_beams=4, num_return_sequences=2
    )
    for index, row in enumerate(output[:, 3:].tolist()):
        check_parses(model, row, tasks[index // 2])


def test_greedy_batch_equals_items(model):
    tasks = ["ASR AST S2ST", "T2I", "ASR"]
    prompts = torch.randint(4, 36, (3, 3))
    mask = torch.ones_like(prompts)
    together = model.generate(input_ids=prompts, attention_mask=mask, task=tasks, do_sample=False)[:, 3:]
    for index, task in enumerate(tasks):
        one = slice(index, index + 1)
        alone = model.generate(input_ids=prompts[one], attention_mask=mask[one], task=task, do_sample=False)[0, 3:]
        assert together[index, : len(alone)].tolist() == alone.tolist()


def test_static_cache_parses(model):
    for row in sample(model, ["ASR AST S2ST"] * 4, cache_implementation="static"):
        check_parses(model, row, "ASR AST S2ST")


def test_the_grammar_is_saved_with_the_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = TriglotForConditionalGeneration.from_pretrained(tmp_path)
    assert again.generation_config.span_grammar == GRAMMAR
    for row in sample(again, ["ASR AST S2ST"] * 4):
        check_parses(again, row, "ASR AST S2ST")


def test_a_users_own_generation_config_need_not_repeat_the_grammar(model):
    config = GenerationConfig(do_sample=True, temperature=5.0, eos_token_id=EOS, pad_token_id=PAD)
    prompts = torch.randint(4, 36, (3, 3))
    rows = model.generate(
        prompts, generation_config=config, attention_mask=torch.ones_like(prompts), task="ASR AST S2ST"
    )
    for row in rows[:, 3:].tolist():
        check_parses(model, row, "ASR AST S2ST")
    assert not hasattr(config, "span_grammar"), "the user's object stays as it was"


def test_without_task_a_text_goes_on_as_text_and_media_freely(model):
    options = {"max_new_tokens": 20, "do_sample": True, "temperature": 5.0, "top_k": 0}
    for prompts, user in ((torch.randint(4, 36, (50, 3)), None), (None, GenerationConfig(temperature=5.0))):
        more = {} if prompts is None else {"input_ids": prompts, "attention_mask": torch.ones_like(prompts)}
        written = model.generate(**more, generation_config=user, **options)[:, 3:]
        assert all(4 <= token < 36 or token in (EOS, PAD) for row in written.tolist() for token in row)
    begin = model.config.span_tokens["speech"][0]
    prompts = torch.full((50, 1), begin)
    free = model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), **options)
    assert int(free[:, 1:].max()) > model.config.sep_token_id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "SING"}, "Unknown task 'SING'"),
        ({"task": "ASR", "generation_mode": "audio"}, "writes text; choose a task that writes speech"),
        ({"generation_mode": "video"}, "allowed is text, audio, image"),
        ({"task": "T2I", "max_new_tokens": 5}, "at least 9"),
        ({"output_spans": torch.tensor([[7]])}, "output_spans"),
        ({"output_spans": torch.tensor([[1], [1], [1]])}, "3 rows for 1 prompts"),
    ],
)
def test_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(input_ids=torch.tensor([[5, 6]]), attention_mask=torch.ones(1, 2, dtype=torch.long), **options)


def test_shortest_and_longest(model):
    grammar = SpanGrammar.from_config(model.config, model.generation_config)
    assert grammar.shortest([0]) == 1 and grammar.longest([0]) == 6
    assert grammar.shortest([0, 0, 1]) == 1 + 1 + 3 + 1
    assert grammar.shortest([2]) == grammar.longest([2]) == 9


def test_the_mask_never_leaves_a_row_without_choice(model):
    """Follow random allowed ids step by step: at every step at least one id is allowed, until <eos>."""
    grammar = SpanGrammar.from_config(model.config, model.generation_config)
    spans = torch.tensor([[0, 0, 1, NO_SPAN], [1, 2, 0, 1], [2, NO_SPAN, NO_SPAN, NO_SPAN]])
    generator = torch.Generator().manual_seed(0)
    for bound in (40, 20):
        processor = SpanLogitsProcessor(grammar, spans, 0, bound)
        ids = torch.zeros(3, 0, dtype=torch.long)
        for _ in range(bound):
            scores = processor(ids, torch.zeros(3, grammar.vocab_size))
            choice = torch.multinomial(scores.softmax(-1), 1, generator=generator)
            assert torch.isfinite(scores.gather(1, choice)).all()
            done = (ids == EOS).any(dim=1, keepdim=True)
            ids = torch.cat([ids, torch.where(done, EOS, choice)], dim=1)
        assert (ids == EOS).any(dim=1).all()


def test_a_prompt_beyond_the_context_is_refused_and_one_near_it_gets_shorter_answers(model):
    context = model.config.text_config.max_position_embeddings
    long = torch.full((1, context - 8), 5)
    with pytest.raises(ValueError, match=rf"{context - 8} ids and the answer at least 9.*{context} ids: shorten"):
        model.generate(input_ids=long, attention_mask=torch.ones_like(long), task="T2I")
    row = model.generate(input_ids=long, attention_mask=torch.ones_like(long), task="TTS")[0, context - 8 :].tolist()
    assert len(row) <= 8
    check_parses(model, row, "TTS")
    padded = torch.cat([torch.full((1, 50), PAD), long], 1)
    mask = (padded != PAD).long()
    assert model.check_context(mask, torch.tensor([[1]])) == 8, "padding does not count"
