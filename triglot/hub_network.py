"""Without a network nobody waits: a Hub that does not answer is asked once, and then only what is cached is looked for.

huggingface_hub itself asks five more times for every file, some 20 s each.
"""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import yaml

ANSWER_SECONDS = 5.0  # s for a connection
HUB = "https://huggingface.co"
RECIPES = Path(__file__).parents[1] / "training" / "recipes"
# options of verbs, and settings of recipes, that take a folder or a Hub id
_NAMES = (
    *(
        "model",
        "checkpoint",
        "checkpoints",
        "text_llm",
        "text_model",
        "start_from",
        "judge",
        "speaker_model",
        "captioner",
    ),
    *(
        "speech_encoder",
        "encoder",
        "codec",
        "speech_tokenizer",
        "text_tokenizer",
        "image_tokenizer",
        "tokenizer",
        "tokenizers",
    ),
    *("speech_decoder", "decoder", "decoders", "classifier", "dataset"),
)


def offline_without_network(arguments: argparse.Namespace, warn: Callable[[str], None]) -> None:
    """Where a command names something on the Hub and no Hub answers, sets HF_HUB_OFFLINE for this process.

    Args:
        arguments: Of the command.
        warn: Told so.
    """
    asked = next(_hub_ids(arguments), None)
    if asked is None or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    if _answers(endpoint):
        return
    warn(f"{asked!r} is no folder here, and the Hub at {endpoint} does not answer; only what is cached can be loaded")
    os.environ["HF_HUB_OFFLINE"] = "1"
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True


def _hub_ids(arguments: argparse.Namespace) -> Iterator[str]:
    recipe = _recipe(getattr(arguments, "recipe", None))
    stages = [stage for stage in recipe.values() if isinstance(stage, dict)]
    for given in (
        vars(arguments),
        {**recipe, "speech_decoder": ""},
        *stages,
    ):  # a recipe's decoders are its own stages
        yield from _hub_ids_of(given)


def _recipe(recipe: str | None) -> dict[str, Any]:
    """What is in a recipe, if it can be read: whoever runs it tells what is wrong with it."""
    for path in () if recipe is None else (Path(recipe), RECIPES / f"{Path(recipe).name.removesuffix('.yaml')}.yaml"):
        with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            return content if isinstance(content, dict) else {}
    return {}


def _hub_ids_of(given: Mapping[str, Any]) -> Iterator[str]:
    for name in _NAMES:
        value = given.get(name)
        words = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
        for word in filter(lambda one: isinstance(one, str), words):
            word = word.rpartition("=")[2]  # NAME=FOLDER
            if word.count("/") <= 1 and word and not os.path.exists(word) and not word.startswith((".", "/", "~")):
                yield word


def _answers(endpoint: str) -> bool:
    """Whether something listens there, or where the proxy should be that leads there."""
    address = urlsplit(endpoint)
    proxy = getproxies().get(address.scheme)
    if proxy and not proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    host = address.hostname or ""
    try:
        socket.create_connection(
            (host, address.port or (80 if address.scheme == "http" else 443)), ANSWER_SECONDS
        ).close()
    except (OSError, ValueError):
        return False
    return True
