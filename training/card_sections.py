"""The sections of a model card, each from facts alone: CardFacts ─▶ {name of the section: markdown}."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..processing.languages import LANGUAGES
from ..processing.processing_triglot import MAX_AUDIO_SECONDS
from .card_facts import LANGUAGE_MODEL, CardFacts, listed, whole_licence
from .card_record import Part, Run
from .card_scores import check_pairs, commands, escaped, score_table
from .evaluate_questions import EVALUATION_TASKS

INTERVALS = (
    "A mean is over languages or directions; in brackets the 95 % interval by bootstrap over sentences. Error rates are in percent, BLEU "
    "and chrF go from 0 to 100."
)


def card_sections(facts: CardFacts) -> dict[str, str]:
    """All sections, in the order in which they stand in a new card.

    Raises:
        TriglotError: reports before and after training that are not of the same rows.
    """
    if facts.adapter:
        makers = {"about": _about_adapter, "use": _use_adapter, "training": _training, "licence": _licence}
    else:
        makers = {"about": _about, "use": _use, "parts": _parts, "scores": _scores, "training": _training, "limits": _limits,
                  "licence": _licence}  # fmt: skip
    return {name: make(facts) for name, make in makers.items()}


# ---- what it is


def _about(facts: CardFacts) -> str:
    kinds = [name for name, can in (("text", True), ("speech", facts.hears), ("image", facts.sees)) if can]
    size = _millions(facts, LANGUAGE_MODEL)
    sizes = {name: _millions(facts, name) for name in facts.configs if name != LANGUAGE_MODEL}
    others = [f"its {_said(name)}{f' ({much})' if much else ''}" for name, much in sizes.items()]
    text = f"A decoder-only transformer{f' of {size} parameters' if size else ''} that reads and writes {listed(kinds)} tokens"
    text += f", with {listed(others)}" if others else ""
    return f"{text}. Languages: {_languages(facts)}."


def _about_adapter(facts: CardFacts) -> str:
    run = facts.record.runs[-1] if facts.record.runs else None
    size = _millions(facts, LANGUAGE_MODEL)
    return (
        f"A LoRA adapter (arXiv 2106.09685){f' of {size} parameters' if size else ''}"
        f"{f' for {_link(run.base, run.base_id)}' if run else ''}, a Triglot checkpoint. Languages: {_languages(facts)}."
    )


def _languages(facts: CardFacts) -> str:
    return listed([LANGUAGES.get(code, code) for code in facts.languages])


# ---- how it is used


def _use(facts: CardFacts) -> str:
    place = facts.record.repo_id
    first, *others = [*facts.languages, "en"][: max(1, len(facts.languages))]
    other = others[0] if others else first
    lines = [
        "import triglot  # or, where Triglot is not installed, trust_remote_code=True in each call of pipeline",
        "from transformers import pipeline",
        "",
        f'model = "{place}"' if place else 'model = "."  # this folder',
    ]
    if facts.speaks and other != first:
        lines += [
            's2st = pipeline("speech-to-speech-translation", model=model)',
            f'out = s2st("in.wav", source_language="{first}", target_language="{other}")',
            'print(out["source_text"], "->", out["text"], out["audio"].shape, out["sampling_rate"])',
        ]
    if facts.hears:
        lines.append(f'print(pipeline("speech-recognition", model=model)("in.wav", language="{first}")["text"])')
    if facts.speaks and other == first:
        lines.append(
            f'out = pipeline("voice-text-to-speech", model=model)("hello", language="{first}", voice_prompt="in.wav")'
        )
    if facts.sees:
        lines.append(
            f'print(pipeline("task-chain", model=model)("in.png", tasks="CAPTION", language="{first}")[0]["text"])'
        )
    if facts.draws:
        lines.append(f'pipeline("text-to-image", model=model)("a red star", language="{first}")[0].save("out.png")')
    return _section("Use", _python(lines))


def _use_adapter(facts: CardFacts) -> str:
    run, place = facts.record.runs[-1:], facts.record.repo_id
    base = (run[0].base_id or run[0].base) if run else "BASE"
    return _section(
        "Use",
        _python(
            [
                "import triglot  # registers the classes",
                "from peft import PeftModel",
                "from transformers import AutoModel",
                "",
                f"base = AutoModel.from_pretrained({json.dumps(base)})",
                f'model = PeftModel.from_pretrained(base, "{place or "."}")',
            ]
        ),
        f"Text tokenizer, codecs and pipelines are those of {_link(run[0].base, run[0].base_id) if run else 'its base'}.",
    )


# ---- what it is made of


def _parts(facts: CardFacts) -> str:
    table = ["| part | what | parameters | size | made from | licence of that |", "|---|---|---:|---:|---|---|"]
    for name, config in facts.configs.items():
        files, part = facts.weights[name], facts.record.parts.get(name)
        size = f"{files.bytes / 1e6:.1f} MB, {', '.join(files.dtypes)}" if files else "no weights here"
        table.append(
            f"| {_said(name)} | {_kind(name, config, facts)} | {_millions(facts, name) or ''} | {size} | {_origin(part)} | {_terms(part)} |"
        )
    return _section("Parts", "\n".join(table))


def _origin(part: Part | None) -> str:
    if part is None:
        return "not recorded"
    return _link(part.made_from, part.hub_id) if part.made_from else "nothing: trained for this checkpoint"


def _terms(part: Part | None) -> str:
    if part is None:
        return "unknown: not recorded"
    return f"{part.licence} ({part.licence_source})" if part.licence else "as below"


def _kind(name: str, config: Mapping[str, Any], facts: CardFacts) -> str:
    if name == LANGUAGE_MODEL:
        text = config.get("text_config") or {}
        rows = ", ".join(f"{entry.get('size')} {entry.get('name')}" for entry in facts.modalities)
        return f"{text.get('model_type')}, {text.get('num_hidden_layers')} layers of {text.get('hidden_size')}; rows: {rows}"
    said = [str(config.get("model_type", "")).removeprefix("triglot_")]
    inner = config.get("encoder_config") or config.get("codec_config") or {}
    if inner.get("model_type"):
        said.append(f"of {str(inner['model_type']).removeprefix('triglot_')}")
    if "encoder_config" in config:
        said.append(f"layer {config.get('layer')}")
    modality = next((entry for entry in facts.modalities if name.startswith(f"{entry.get('name')}_tokenizer")), None)
    text = ", ".join([" ".join(said[:2]), *said[2:]])
    if modality is not None:
        rate, grid = modality.get("frame_rate"), modality.get("grid")
        text += f"; {modality.get('size')} codes" + (
            f", {rate:g}/s" if rate else f", {grid[0]} x {grid[1]}" if grid else ""
        )
    return text


# ---- how good it is


def _scores(facts: CardFacts) -> str:
    reports, before = facts.record.reports, facts.record.base_reports
    check_pairs(before, reports)
    if not reports and not before:
        return _section(
            "Scores", "Nothing was measured yet: `triglot evaluate`, then `triglot card . --report NAME=FOLDER`."
        )
    run = facts.record.runs[-1:]
    notes = [INTERVALS]
    if before:
        notes.append(
            f'"before" is {_link(run[0].base, run[0].base_id)}.'
            if run
            else '"before" is the checkpoint that training began with.'
        )
    missing = [name for name in before if name not in reports]
    if missing:
        notes.append(f"Not measured again after training: {listed(missing)}.")
    if not reports:
        notes.append("The checkpoint itself was not measured yet.")
    judges = {
        str(results["settings"]["judge"])
        for results in reports.values()
        if (results.get("settings") or {}).get("judge")
    }
    if judges:
        notes.append(
            f"Spoken output was read by a recogniser ({listed(sorted(judges))}), whose own errors are counted against the model."
        )
    asked = [_asked(name, results) for name, results in reports.items()]
    lines = [*commands(before), *(line for line in commands(reports) if line not in commands(before))]
    said = [score_table(reports, before), " ".join(notes), "\n".join(asked), _bash(lines) if lines else ""]
    return _section("Scores", *filter(None, said))


def _asked(name: str, results: Mapping[str, Any]) -> str:
    settings, versions = results.get("settings") or {}, results.get("versions") or {}
    limit = f", at most {settings['limit']} a task and direction" if settings.get("limit") else ""
    how = ", ".join(f"{key} {value}" for key, value in (settings.get("generate_kwargs") or {}).items())
    made = ", ".join(f"{key} {versions[key]}" for key in ("triglot", "transformers", "torch") if key in versions)
    return f"* {name}: {settings.get('items')} items of {settings.get('rows')} rows{limit}, seed {settings.get('seed')}{', ' + how if how else ''}; {made}"


# ---- where it comes from


def _training(facts: CardFacts) -> str:
    runs = facts.record.runs
    if not runs:
        return _section("Training", "Not recorded.")
    return _section("Training", *(_run(number, run, len(runs)) for number, run in enumerate(runs, 1)))


def _run(number: int, run: Run, count: int) -> str:
    head = f"{number}. " if count > 1 else ""
    said = {
        "init": f"{head}Assembled from its parts by `triglot init`; the rows of the media are new and untrained.",
        "train": f"{head}`triglot train {run.name}`, seed {run.seed}.",
        "finetune": f"{head}`triglot finetune` went on from {_link(run.base, run.base_id)}, seed {run.seed}.",
    }[run.kind]
    blocks = [said]
    if run.settings:
        blocks.append(
            "Settings: "
            + ", ".join(f"{name} {_value(value)}" for name, value in run.settings.items() if value != "")
            + "."
        )
    if run.sources:
        blocks.append(_sources(run.sources))
    if run.learnt:
        blocks.append("\n".join(f"* {name}: {amount}" for name, amount in run.learnt.items()))
    if run.stages:
        table = ["| stage | minutes | on |", "|---|---:|---|"]
        table += [
            f"| {stage} | {_minutes(each.get('minutes'))} | {each.get('hardware') or 'not recorded'} |"
            for stage, each in run.stages.items()
        ]
        blocks.append("\n".join(table))
    return "\n\n".join(blocks)


def _sources(sources: Sequence[Mapping[str, Any]]) -> str:
    table = ["| source | dataset | rows | sound, h | taken, % |", "|---|---|---:|---:|---:|"]
    for source in sources:
        named = source.get("dataset") or source.get("layout") or "the maker's own"
        name, named = (escaped(str(word)) for word in (source.get("name"), named))
        hours, share = source.get("hours") or 0.0, source.get("share") or 0.0
        table.append(f"| {name} | {named} | {source.get('rows')} | {hours:.2f} | {100 * share:.1f} |")
    return "\n".join(table)


def _minutes(value: Any) -> str:
    return (
        f"{value:.2g}"
        if isinstance(value, (int, float)) and value < 1
        else f"{value:.1f}"
        if isinstance(value, (int, float))
        else ""
    )


# ---- what it cannot, and who may use it


def _limits(facts: CardFacts) -> str:
    record = facts.record
    lines = [f"It was made for {_languages(facts)}, and for what its training data is about; expect no more."]
    if facts.hears:
        lines.append(f"Sound of more than {MAX_AUDIO_SECONDS:.0f} s at a time is refused.")
    if (
        record.runs
        and all(run.kind == "train" for run in record.runs)
        and any(stage in run.stages for run in record.runs for stage in ("data", "spoken_text"))
    ):
        lines.append("All speech it learnt from was made by espeak-ng; no recording of a person was among it.")
    measured = {task for results in record.reports.values() for task in results["tasks"]}
    can = [name for name, task in EVALUATION_TASKS.items() if _can(facts, task)]
    unmeasured = [name for name in can if name not in measured]
    if unmeasured:
        lines.append(f"Not measured: {listed(unmeasured)}.")
    if facts.speaks or facts.draws:
        what = listed([name for name, can in (("speech", facts.speaks), ("pictures", facts.draws)) if can])
        lines.append(
            f"The {what} it makes {'is' if what == 'speech' else 'are'} synthetic: say so where you pass it on, and ask before you use a person's voice."
        )
    return _section("Limits", "\n".join(f"* {line}" for line in lines))


def _can(facts: CardFacts, task: Any) -> bool:
    needs = ((task.translates, len(facts.languages) > 1), (task.hears, facts.hears), (task.speaks, facts.speaks), (task.sees, facts.sees),
             (task.draws, facts.draws))  # fmt: skip
    return all(has for need, has in needs if need)


def _licence(facts: CardFacts) -> str:
    whole, warnings = whole_licence(facts.record)
    said = f"{whole}." if whole else "None was chosen yet: `triglot card . --license apache-2.0` writes one."
    return _section("Licence", said, *(f"> **Warning:** {warning}" for warning in warnings))


# ---- words


def _section(title: str, *blocks: str) -> str:
    return "\n\n".join([f"## {title}", *blocks])


def _python(lines: Sequence[str]) -> str:
    return "\n".join(["```python", *lines, "```"])


def _bash(lines: Sequence[str]) -> str:
    return "\n".join(["```bash", *lines, "```"])


def _millions(facts: CardFacts, name: str) -> str:
    """ "5.6M"; "" without weights."""
    files = facts.weights.get(name)
    if files is None:
        return ""
    return (
        f"{files.numbers / 1e9:.2f}B"
        if files.numbers >= 1e9
        else f"{files.numbers / 1e6:.{1 if files.numbers >= 1e5 else 3}f}M"
    )


def _link(name: str, hub: str) -> str:
    return f"[{hub}](https://huggingface.co/{hub})" if hub else name


def _said(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else str(value)
