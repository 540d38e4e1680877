"""`triglot evaluate alignment`: whether text, speech and pictures of one thing lie together inside the language model.

rows ─▶ views of each item: text, speech, image, translation ─▶ prompt as in training ─▶ states of every layer, averaged over the
content ─▶ per layer: is the nearest neighbour in another view the same item (R@1)?  beside a model of the same config, untrained

Each view's mean is taken off first: what all texts share and no picture has says nothing about items. Shapes: N items, L layers and
the embeddings before them, D width.
"""

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tqdm.auto import tqdm
from transformers import set_seed

from ..modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from ..processing.errors import TriglotError
from ..processing.task_formats import parse_chain
from ..processing.whole_files import whole_folder
from .data.load_rows import load_rows
from .evaluate_models import CheckpointUnderTest
from .evaluate_questions import PICTURE_COLUMN, EvaluationTask, check_languages, check_rows

# view: the task whose prompt holds it, the column it is in, the column of its language
VIEWS = {
    "text": ("TTS", "transcript", "source_language"),
    "speech": ("ASR", "audio", "source_language"),
    "image": ("CAPTION", PICTURE_COLUMN, "source_language"),
    "translation": ("TTS", "translated_transcript", "target_language"),
}
PAIRS = (("text", "speech"), ("text", "image"), ("speech", "image"), ("text", "translation"))
BATCH = 16
LEAST_ITEMS = 2
SHOWN_ITEMS = 10  # in the plot


@dataclass(frozen=True)
class PairRecall:
    """How often the nearest neighbour in another view is the same item.

    Attributes:
        pair: "text-speech" and the like.
        trained, untrained: R@1 of each layer, the embeddings first; the mean of both directions.
        chance: What guessing gives.
    """

    pair: str
    trained: list[float]
    untrained: list[float]
    chance: float


def recall_at_1(one: np.ndarray, other: np.ndarray) -> float:
    """States (N, D) and (N, D) of the same items -> share of items found, the mean of both directions, by cosine after centring."""
    one, other = _directions(one), _directions(other)
    cosines, same = one @ other.T, np.arange(len(one))
    return float(((cosines.argmax(1) == same).mean() + (cosines.argmax(0) == same).mean()) / 2)


def _directions(states: np.ndarray) -> np.ndarray:
    """(N, D) without what all share, each of length 1."""
    centred = states - states.mean(0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def choose_items(rows: Dataset, count: int, views: Sequence[str]) -> list[int]:
    """Rows that hold all views, no two of them about the same words or the same picture; at most `count`, in order."""
    columns = {name: rows[name][:] for name in {VIEWS[view][1] for view in views}}
    chosen, used = [], set[Any]()
    for row in range(len(rows)):
        values = {name: column[row] for name, column in columns.items()}
        keys = {_key(value) for name, value in values.items() if name != "audio"}
        if None in values.values() or keys & used:
            continue
        used |= keys
        chosen.append(row)
        if len(chosen) == count:
            break
    return chosen


def _key(value: Any) -> Any:
    return (value.get("bytes") or value.get("path")) if isinstance(value, Mapping) else value


@torch.no_grad()
def mean_states(model: Any, prompts: Sequence[tuple[Sequence[int], int, int]]) -> np.ndarray:
    """Prompts (ids, first, last + 1 place of the content) -> float32 (L + 1, N, D): the content's states, averaged."""
    collected = []
    for start in tqdm(range(0, len(prompts), BATCH), desc="reading", unit="batch"):
        batch = prompts[start : start + BATCH]
        width = max(len(ids) for ids, _, _ in batch)
        padded = [
            list(ids) + [0] * (width - len(ids)) for ids, _, _ in batch
        ]  # on the right, where nothing looks back on it
        ids = torch.tensor(padded, device=model.device)
        states = model.language_model(ids, use_cache=False, output_hidden_states=True).hidden_states
        for row, (_, first, last) in enumerate(batch):
            collected.append(torch.stack([layer[row, first:last].float().mean(0) for layer in states]).cpu())
    return torch.stack(collected, 1).numpy()


def view_prompts(
    under_test: CheckpointUnderTest, rows: Dataset, items: Sequence[int], view: str, languages: Mapping[str, str]
) -> list[tuple[list[int], int, int]]:
    """What `mean_states` reads, for one view of each item."""
    processor = under_test.processor
    task, column, language_column = VIEWS[view]
    chain, prompts = parse_chain(task), []
    for row in tqdm(items, desc=view, unit="item"):
        value, language = rows[row][column], languages[rows[row][language_column]]
        name = f"{column} of row {row}"
        if view == "speech":
            content = processor.codecs.encode("speech", [processor.load_audio(value, name=name)])[0].tolist()
        elif view == "image":
            content = processor.codecs.encode("image", [processor.load_image(value, name=name)])[0].tolist()
        else:
            content = processor.text_ids(value)
        ids = processor.prompt_ids(chain, language, None, content)
        end = len(ids) - 1  # the closer
        prompts.append((ids, end - len(content), end))
    return prompts


def alignment(
    checkpoint: Any, rows: Dataset, *, pairs: int = 300, seed: int = 0, device: str | None = None
) -> tuple[list[PairRecall], dict[str, np.ndarray]]:
    """Measures how views lie together.

    Args:
        checkpoint: Folder or Hub id.
        rows: With the columns of some of VIEWS; views that the rows or the checkpoint lack are left out.
        pairs: Most items.
        seed: Of the untrained model's weights.
        device: None for a GPU where there is one.

    Returns:
        The recalls, and {view: float32 (N, D)} of the middle layer.

    Raises:
        TriglotError: fewer than two views, or fewer than two items that have them.
    """
    rows = check_rows(rows, {"alignment": EvaluationTask("TTS", None, ())})
    under_test = CheckpointUnderTest(checkpoint, device)
    has = under_test.processor.codecs.names
    views = [
        view for view, (_, column, language) in VIEWS.items()
        if {column, language} <= set(rows.column_names)
        and (view not in ("speech", "image") or f"{view}_tokenizer" in has)
    ]  # fmt: skip
    wanted = [pair for pair in PAIRS if set(pair) <= set(views)]
    if not wanted:
        raise TriglotError(f"The rows and the checkpoint have {views}; two of {', '.join(VIEWS)} are needed.")
    items = choose_items(rows, pairs, views)
    if len(items) < LEAST_ITEMS:
        raise TriglotError(
            f"Only {len(items)} rows have {', '.join(views)} of their own; at least {LEAST_ITEMS} are needed."
        )
    tasks = {view: EvaluationTask("MT" if view == "translation" else "TTS", None, ()) for view in views}
    languages = check_languages(rows, tasks, under_test.processor.languages)
    prompts = {view: view_prompts(under_test, rows, items, view, languages) for view in views}
    set_seed(seed)
    untrained = TriglotForConditionalGeneration(copy.deepcopy(under_test.model.config)).to(under_test.device).eval()
    states = [{view: mean_states(model, prompts[view]) for view in views} for model in (under_test.model, untrained)]
    found = []
    for one, other in wanted:
        trained, untrained_recalls = ([recall_at_1(a, b) for a, b in zip(of[one], of[other])] for of in states)
        found.append(PairRecall(f"{one}-{other}", trained, untrained_recalls, 1 / len(items)))
    middle = under_test.model.config.get_text_config().num_hidden_layers // 2
    return found, {view: states[0][view][middle] for view in views}


# ---- files


def write_alignment(
    output_dir: str, checkpoint: str, found: Sequence[PairRecall], middle: Mapping[str, np.ndarray]
) -> None:
    """results.json, report.md and report.png, whole or not at all."""
    count = len(next(iter(middle.values())))
    layers = range(len(found[0].trained))
    lines = [
        f"# Alignment inside {checkpoint}", "",
        f"R@1 in % among {count} items (chance {100 / count:.1f}), per layer, 0 for the embeddings; in brackets the same config untrained.",
        "", f"| pair | {' | '.join(map(str, layers))} |", f"| --- | {' | '.join('---:' for _ in layers)} |",
        *(
            f"| {pair.pair} | {' | '.join(f'{100 * a:.1f} ({100 * b:.1f})' for a, b in zip(pair.trained, pair.untrained))} |"
            for pair in found
        ),
        "", "States are averaged over the content of a prompt, each view's mean is taken off, neighbours are by cosine, and R@1 is the mean of "
        f"both directions. The plot shows the middle layer of {min(count, SHOWN_ITEMS)} items in the plane that tells the other items best apart "
        "(linear discriminant analysis, items as classes, their views as samples).", "",
    ]  # fmt: skip
    with whole_folder(output_dir) as partial:
        results = {"checkpoint": checkpoint, "items": count, "pairs": [asdict(pair) for pair in found]}
        (partial / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        (partial / "report.md").write_text("\n".join(lines), encoding="utf-8")
        _draw(found, middle, partial / "report.png")


def places_in_plane(middle: Mapping[str, np.ndarray], shown: int) -> dict[str, np.ndarray]:
    """The plane in which views of one item lie near together and items far apart, by linear discriminant analysis of the other items.

    Args:
        middle: {view: (N, D)}.
        shown: So many items, the first, have no part in finding the plane; where less than twice as many are there, all have.

    Returns:
        {view: (n, 2)} of the shown items.
    """
    states = {view: _directions(of) for view, of in middle.items()}
    count = len(next(iter(states.values())))
    others = range(shown if count >= 2 * shown else 0, count)
    samples = np.concatenate([of[others] for of in states.values()])
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.3, n_components=2 if len(others) > 2 else 1)
    analysis.fit(samples, np.tile(np.arange(len(others)), len(states)))
    places = {view: analysis.transform(of[:shown]) for view, of in states.items()}
    return {view: np.pad(of, ((0, 0), (0, 2 - of.shape[1]))) for view, of in places.items()}


def _draw(found: Sequence[PairRecall], middle: Mapping[str, np.ndarray], path: Path) -> None:
    """R@1 over layers, and the first items' views in a plane of the middle layer."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TriglotError("report.png needs matplotlib: pip install matplotlib") from error

    figure = Figure(figsize=(11, 4.5), dpi=110, layout="constrained")
    curves, plane = figure.subplots(1, 2)
    for number, pair in enumerate(found):
        curves.plot([100 * value for value in pair.trained], color=f"C{number}", marker="o", label=pair.pair)
        curves.plot([100 * value for value in pair.untrained], color=f"C{number}", linestyle=":")
    curves.set(xlabel="layer (0: embeddings)", ylabel="R@1, % (dotted: untrained)", ylim=(0, 102))
    curves.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.12), frameon=False)
    places = places_in_plane(middle, SHOWN_ITEMS)
    for marker, (view, points) in zip("o^sD", places.items()):
        plane.scatter(
            points[:, 0], points[:, 1], s=50, marker=marker, color=[f"C{item % 10}" for item in range(len(points))]
        )
        plane.scatter([], [], marker=marker, color="0.4", label=view)
    plane.set(title="middle layer: one colour an item", xticks=[], yticks=[])
    plane.legend()
    FigureCanvasAgg(figure).print_png(path)


def run(arguments: argparse.Namespace) -> None:
    """Runs what `add_alignment_arguments` parsed, and prints the report.

    Raises:
        TriglotError: see `alignment`.
    """
    if arguments.pairs < LEAST_ITEMS:
        raise TriglotError(f"pairs is {arguments.pairs}; at least {LEAST_ITEMS} are needed.")
    found, middle = alignment(
        arguments.checkpoint,
        load_rows(arguments.rows),
        pairs=arguments.pairs,
        seed=arguments.seed,
        device=arguments.device,
    )
    write_alignment(arguments.out, arguments.checkpoint, found, middle)
    print((Path(arguments.out) / "report.md").read_text(encoding="utf-8"))
