"""Many inputs of one command: files, wildcards, lines of stdin -> batches -> one result each, printed or written as it comes.

words ─ wildcards, `-` ─▶ Input (name, content, out) ─ batch_size at a time ─▶ model ─▶ a line on stdout, a file in the folder

Files are read when their turn comes. An input that fails is told on stderr and, with --json, in its own line; the others go on.
"""

import argparse
import glob
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .command_output import FAILED, SOME_FAILED, Output, told

STDIN = "-"
LONGEST_LINE = 100_000  # bytes of a line of stdin; more is no sentence
SOUND, PICTURE, TEXT, VOICE = (".wav",), (".png", ".jpg", ".jpeg", ".webp"), (".txt",), (".safetensors",)


@dataclass(frozen=True)
class Input:
    """One piece of work.

    name: As it was written, or as a wildcard found it.
    content: A path, the bytes of stdin, or a text; an error where there is none.
    out: The file to write, "-" for stdout, None for none.
    """

    name: str
    content: Any
    out: str | None = None


def add_batch_arguments(parser: argparse.ArgumentParser, batch_size: int = 8) -> None:
    """The arguments of every command that takes many inputs."""
    parser.add_argument(
        "--batch-size", type=at_least_one, default=batch_size, help=f"inputs at a time (default: {batch_size})"
    )
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace files that are in the folder already")
    there.add_argument("--skip-existing", action="store_true", help="leave out inputs whose files are there already")


# ---- inputs


def file_inputs(arguments: argparse.Namespace, output: Output, endings: Sequence[str]) -> list[Input]:
    """The files that a command names, each with the file that is to be written.

    Args:
        arguments: `inputs`: paths, wildcards (`**` too), or `-` alone for the bytes of stdin; `out`, `overwrite`, `skip_existing`.
        output: Of the command.
        endings: Of the files to write, the usual one first.

    Raises:
        TriglotError: a wildcard without a match, a folder, an `--out` that does not fit, files that are there already.
    """
    from .processing.user_files import read_handle

    if _reads_stdin(arguments):
        if sys.stdin.isatty():
            arguments.usage("- reads a file from standard input, which is a terminal: add < FILE.")
        found = [Input(STDIN, read_handle(sys.stdin.buffer, "standard input"))]
    else:
        found = [Input(path, path) for path in find_files(arguments.inputs)]
    names = output_names([item.name for item in found])
    return _with_files(found, names, arguments, output, endings)


def text_inputs(
    arguments: argparse.Namespace, output: Output, endings: Sequence[str], files: int = 1
) -> Iterable[Input]:
    """The texts that a command names, or for `-` the lines of stdin as they come; see `file_inputs`.

    Files are called by the number of the text, 0001 and so on; `files` is how many each text gives.

    Raises:
        TriglotError: a text of nothing, of which sound or a picture is wanted; such lines of stdin are passed over.
    """
    if not _reads_stdin(arguments):
        if endings is not TEXT and not all(text.strip() for text in arguments.inputs):
            from .processing.errors import TriglotError

            raise TriglotError("A text is empty; give some words.")
        found = [Input(text, text) for text in arguments.inputs]
        names = [f"{number:04}" for number in range(1, len(found) + 1)]
        return _with_files(found, names, arguments, output, endings, files)
    if arguments.out is None or _is_folder(arguments.out):
        return _later_files(stdin_lines(), arguments, output, endings, files)
    first = list(itertools.islice((line for line in stdin_lines() if line.name.strip()), 2))  # two cannot be one file
    return _with_files(first, ["0001", "0002"], arguments, output, endings, files)


def find_files(words: Sequence[str]) -> list[str]:
    """Paths as they are and wildcards as the files they match, sorted; each file once.

    Raises:
        TriglotError: a wildcard that matches no file, or a folder.
    """
    from .processing.errors import TriglotError

    found: dict[str, str] = {}
    for word in words:
        paths = [word]
        if not os.path.lexists(word) and glob.has_magic(word):
            paths = [path for path in sorted(glob.glob(word, recursive=True)) if not os.path.isdir(path)]
            if not paths:
                raise TriglotError(f"There is no file that matches {word!r}.")
        elif os.path.isdir(word):
            inside = os.path.join(word, "*.wav")
            raise TriglotError(f"{word!r} is a folder; say which files in it, e.g. {inside!r} in quotes.")
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def _reads_stdin(arguments: argparse.Namespace) -> bool:
    if STDIN in arguments.inputs and len(arguments.inputs) > 1:
        arguments.usage("- reads standard input; it cannot stand beside other inputs.")
    return arguments.inputs == [STDIN]


def stdin_lines() -> Iterator[Input]:
    """Lines of UTF-8, without their ends, as they come; of one that is no text, or endless, the error in its place."""
    from .processing.errors import TriglotError

    for number in itertools.count(1):
        line = sys.stdin.buffer.readline(LONGEST_LINE)
        if not line:
            return
        more = line
        while len(more) == LONGEST_LINE and not more.endswith(b"\n"):  # pass over the rest
            more = sys.stdin.buffer.readline(LONGEST_LINE)
        try:
            if more is not line:
                raise TriglotError(f"longer than {LONGEST_LINE} bytes")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            yield Input(text, text)
        except ValueError as error:
            name = f"line {number} of standard input"
            yield Input(name, TriglotError(f"{name} is no text: {error}"))


# ---- outputs


def output_names(paths: Sequence[str]) -> list[str]:
    """A name in the output folder for each input, without an ending.

    The stem of each; where two are alike, the folders below the one that all share as well; where these are alike too (a.wav
    beside a.mp3), with the endings of the inputs.
    """
    full = ["stdin" if path == STDIN else os.path.abspath(path) for path in paths]
    shared = os.path.commonpath([os.path.dirname(path) for path in full]) if len(full) > 1 else ""
    names = [os.path.splitext(os.path.basename(path))[0] for path in full]
    for deeper in (lambda path: os.path.splitext(path)[0], lambda path: path):
        if len({name.casefold() for name in names}) == len(names):
            break
        names = [deeper(os.path.relpath(path, shared)) for path in full]
    return names


def several_files(out: str, count: int) -> list[str]:
    """x.png, or x-1.png, x-2.png ... of several."""
    stem, ending = os.path.splitext(out)
    return [out] if count == 1 else [f"{stem}-{number}{ending}" for number in range(1, count + 1)]


def _is_folder(out: str) -> bool:
    """Whether --out is one: a name with an ending is a file, unless there is such a folder."""
    if out == STDIN:
        return False
    return os.path.isdir(out) or out.endswith(("/", os.sep)) or not os.path.splitext(out)[1]


def _with_files(
    found: list[Input],
    names: list[str],
    arguments: argparse.Namespace,
    output: Output,
    endings: Sequence[str],
    files: int = 1,
) -> list[Input]:
    """The inputs with the files that are written of them; those that are left out are told."""
    from .processing.errors import TriglotError
    from .processing.user_files import check_folder

    out = arguments.out
    if out is None:
        return found
    if not _is_folder(out):
        if len(found) != 1 or (out == STDIN and files > 1):
            many = f"{len(found)} inputs" if len(found) != 1 else f"{files} files of an input"
            raise TriglotError(f"{out!r} is one file, and there are {many}; name a folder, e.g. 'results/'.")
        if out != STDIN:
            check_folder(out)
            if os.path.splitext(out)[1].lower() not in endings:
                raise TriglotError(
                    f"Cannot write {out!r}: the name of a file to write here ends in {' or '.join(endings)}; that of a folder in /."
                )
            if (
                os.path.exists(out)
                and found[0].name != STDIN
                and os.path.exists(found[0].name)
                and os.path.samefile(out, found[0].name)
            ):
                raise TriglotError(f"{out!r} is the input itself; write to another file.")
        return [Input(found[0].name, found[0].content, out)]
    _check_makeable(out)
    items = [Input(item.name, item.content, os.path.join(out, name + endings[0])) for item, name in zip(found, names)]
    there = [item for item in items if _is_there(item, files)]
    if there and not (arguments.overwrite or arguments.skip_existing):
        raise TriglotError(
            f"{len(there)} of {len(items)} files to write are there already, e.g. {there[0].out!r}: --skip-existing leaves them, "
            "--overwrite replaces them."
        )
    read = {os.path.abspath(item.name) for item in items}
    own = [item.out for item in items if item.out is not None and os.path.abspath(item.out) in read]
    if own and not arguments.skip_existing:
        raise TriglotError(f"{own[0]!r} is an input itself; write to another folder.")
    if there and arguments.skip_existing:
        output.warn(f"{len(there)} of {len(items)} are there already")
        items = [item for item in items if not _is_there(item, files)]
    return items


def _later_files(
    lines: Iterator[Input], arguments: argparse.Namespace, output: Output, endings: Sequence[str], files: int
) -> Iterator[Input]:
    """The same for lines that are not there yet."""
    from .processing.errors import TriglotError

    if arguments.out is not None:
        _check_makeable(arguments.out)
    for number, line in enumerate(lines, 1):
        if arguments.out is None:
            yield line
            continue
        if not line.name.strip():  # no file of nothing
            continue
        out = os.path.join(arguments.out, f"{number:04}{endings[0]}")
        item = Input(line.name, line.content, out)
        if not arguments.overwrite and _is_there(item, files):
            if arguments.skip_existing:
                continue
            why = f"{out!r} is there already: --skip-existing leaves such files, --overwrite replaces them."
            item = Input(line.name, TriglotError(why), out)
        yield item


def _is_there(item: Input, files: int) -> bool:
    return item.out is not None and any(os.path.lexists(path) for path in several_files(item.out, files))


def _check_makeable(folder: str) -> None:
    """Raises TriglotError where no folder can be made, or nothing be written into it; makes none."""
    from .processing.errors import TriglotError

    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise TriglotError(f"Cannot write into {folder!r}: {str(place)!r} is a file, or may not be written to.")


# ---- work


def run_batches(
    inputs: Iterable[Input],
    work: Callable[[list[Any]], Sequence[Any]],
    keep: Callable[[Input, Any], tuple[dict[str, Any], str]],
    output: Output,
    batch_size: int,
    *,
    named: bool = True,
) -> int:
    """Takes the inputs through the model and tells the result of each as soon as it is there.

    Args:
        inputs: A list, or an iterator that reads on.
        work: The contents of a batch -> their results.
        keep: An input and its result -> what --json tells, and the line for people; writes the file, where one is wanted.
        output: Of the command.
        batch_size: Inputs at a time.
        named: Of several inputs each line for people begins with the input's name.

    Returns:
        The exit code: 0; 3 where some failed, 1 where all did.

    Raises:
        TriglotError, OSError: of the only input.
    """
    from tqdm.auto import tqdm

    from .processing.errors import TriglotError

    total = len(inputs) if isinstance(inputs, list) else None
    done, failed, waiting = 0, 0, iter(inputs)
    with tqdm(total=total, desc=output.verb, unit="input", disable=not output.bars or total == 1) as bar:
        while batch := list(itertools.islice(waiting, batch_size)):
            for item, answer in zip(batch, _answers(work, batch)):
                try:
                    if isinstance(answer, Exception):
                        raise answer
                    result, text = keep(item, answer)
                except BrokenPipeError:
                    raise
                except (TriglotError, OSError) as error:
                    if total == 1:
                        raise
                    failed += 1
                    why = told(error)
                    output.warn(why if item.name in why else f"{_one_line(item.name)}: {why}")
                    output.show({"input": item.name, "error": why}, None if named or item.out else "")
                else:
                    done += 1
                    text = f"{item.name}\t{_one_line(text)}" if named and total != 1 else text
                    output.show({"input": item.name, **result}, text)
                bar.update()
    if failed:
        output.warn(f"{failed} of {done + failed} inputs failed")
    return (SOME_FAILED if done else FAILED) if failed else 0


def write_out(out: str | None, write: Callable[[str], None], output: Output, ending: str) -> None:
    """Calls `write` with the path of one input's file: below a folder that is made, or for stdout a scratch file."""
    if out is None:
        return
    if out != STDIN:
        os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
        write(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"stdout{ending}")
        write(path)
        output.send(Path(path).read_bytes())


def write_text(path: str, text: str) -> None:
    """A text file of one line, whole or not at all."""
    from .processing.whole_files import whole_file

    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _answers(work: Callable[[list[Any]], Sequence[Any]], batch: list[Input]) -> list[Any]:
    """A result or an error for each; a batch that fails is halved until what is wrong stands alone."""
    from .processing.errors import TriglotError

    good = [item for item in batch if not isinstance(item.content, Exception)]
    if len(good) < len(batch):
        answers = iter(_answers(work, good) if good else ())
        return [item.content if isinstance(item.content, Exception) else next(answers) for item in batch]
    try:
        return list(work([item.content for item in batch]))
    except (TriglotError, OSError) as error:
        if len(batch) == 1:
            return [error]
    half = len(batch) // 2
    return [*_answers(work, batch[:half]), *_answers(work, batch[half:])]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}; at least 1 is needed")
    return number
