"""Which of several processes this one is, and waiting for the others without a time limit."""

import os
from collections.abc import Callable
from time import sleep

POLL_SECONDS = 0.5


def rank_and_ranks() -> tuple[int, int]:
    """(place of this process, how many there are), as `torchrun` and `accelerate launch` tell it; (0, 1) without them."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def wait_until(there: Callable[[], bool], what: str) -> None:
    """Returns once another process has made something.

    Looks at the disk: a barrier of torch.distributed gives up after minutes, and what is waited for may take hours. Where the other one
    fails, the launcher ends this one.

    Args:
        there: Whether it is made.
        what: For the line that is printed while it is not.
    """
    if not there():
        print(what)
    while not there():
        sleep(POLL_SECONDS)
