"""Without a network nobody waits: a Hub that does not answer is asked once, and then only what is cached is looked for.

huggingface_hub itself asks five more times for every file, some 20 s each.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

ANSWER_SECONDS = 5.0  # s for a connection
HUB = "https://huggingface.co"
# options of verbs that take a folder or a Hub id
_NAMES = ("model", "checkpoint", "checkpoints", "text_llm", "speech_encoder", "codec", "judge", "speaker_model")


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
    for name in _NAMES:
        value = getattr(arguments, name, None)
        for word in [value] if isinstance(value, str) else value or ():
            word = word.rpartition("=")[2]  # NAME=FOLDER
            if word.count("/") <= 1 and word and not os.path.exists(word) and not word.startswith((".", "/", "~")):
                yield word


def _answers(endpoint: str) -> bool:
    """Whether something listens there; taken for granted behind a proxy."""
    address = urlsplit(endpoint)
    host = address.hostname or ""
    if address.scheme in getproxies() and not proxy_bypass(host):
        return True
    try:
        socket.create_connection(
            (host, address.port or (80 if address.scheme == "http" else 443)), ANSWER_SECONDS
        ).close()
    except (OSError, ValueError):
        return False
    return True
