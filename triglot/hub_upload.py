"""A whole checkpoint to the Hub, model, processor, codecs, code and card, in one commit.

    folder, or (model, processor) + card ─ check_checkpoint ─▶ create repository ─▶ one commit, or one pull request

What is wrong is found before anything is sent. The upload itself is huggingface_hub's: by Xet where that is installed, else by
git LFS; what the repository has already is not sent again.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint_check import CARD, CheckpointFiles, check_checkpoint
from .processing.errors import TriglotError
from .shipped_code import export_code
from .version import __version__

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi, ModelInfo

ANSWER_SECONDS = (
    10.0  # s for the Hub's first answer; a network that swallows what is sent is no reason to wait for ever
)
# weights that transformers would load beside, or instead of, those of a newer push
_WEIGHTS = re.compile(
    r"(([a-z_]+_(tokenizer|decoder)|text_to_unit|speech_codec)/)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"
)


def push_to_hub(
    checkpoint: str | os.PathLike | Sequence[Any],
    repo_id: str,
    *,
    card: str | os.PathLike | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    own_code: bool = False,
) -> "CommitInfo":
    """Checks a checkpoint and pushes all of it in one commit, so that nobody ever pulls half of one.

    Args:
        checkpoint: A folder laid out as a Hub repository (`triglot train`, `finetune` and `init` write such), or
            `(model, processor)`; of those the code is added, and `card` is needed.
        repo_id: "namespace/name", or "name" in your own namespace. Made where there is none.
        card: The model card: Markdown, or the path of a file; instead of the folder's README.md.
        commit_message: First line of the commit.
        commit_description: The rest of it.
        private: Make a new repository private. A public one that is there already is not pushed to then.
        create_pr: Open a pull request instead of writing to the branch.
        revision: Branch to write to, made from "main" where there is none.
        token: Of the Hub; None for that of `hf auth login` or HF_TOKEN.
        own_code: Code that is not Triglot's may go along: whoever pushes answers for it.

    Returns:
        huggingface_hub's `CommitInfo`: `commit_url`, `oid`, `pr_url`, `repo_url.repo_id`. Where nothing had changed, that of the
        last commit.

    Raises:
        TriglotError: the checkpoint is not whole (`check_checkpoint` says what is wrong), there is no token, no network or
            HF_HUB_OFFLINE is set, or the Hub refuses.
    """
    _check_request(repo_id, token, create_pr, revision)
    text = None if card is None else read_card(card)
    message = commit_message or f"Upload checkpoint (Triglot {__version__})"
    with _folder(checkpoint, text) as folder:
        files = check_checkpoint(folder, text, own_code)
        with _told(repo_id):
            return _send(files, text, repo_id, message, commit_description, private, create_pr, revision, token)


def read_card(card: str | os.PathLike) -> str:
    """Markdown as it is, or that of a file; a TriglotError where that cannot be read."""
    if isinstance(card, str) and "\n" in card:
        return card
    try:
        return Path(card).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise TriglotError(f"The card {os.fspath(card)!r} cannot be read: {error}") from error


# ---- before


def _check_request(repo_id: str, token: str | bool | None, create_pr: bool, revision: str | None) -> None:
    """What can be refused without looking at the checkpoint."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise TriglotError(f"{repo_id!r} is no name of a repository, such as 'me/my-triglot': {error}") from error
    if create_pr and revision not in (None, "main"):
        raise TriglotError(f"A pull request goes to the branch main; leave revision={revision!r} out.")
    if constants.HF_HUB_OFFLINE:
        raise TriglotError(
            "HF_HUB_OFFLINE is set, so nothing can be pushed; unset it, or push where there is a network."
        )
    if not isinstance(token, str) and (token is False or not get_token()):
        raise TriglotError(
            "Pushing needs a token of the Hub that may write: run `hf auth login`, set HF_TOKEN, or pass token=."
        )


@contextlib.contextmanager
def _folder(checkpoint: Any, card: str | None) -> Iterator[Path]:
    """The checkpoint's folder; of parts one that is gone afterwards."""
    if isinstance(checkpoint, (str, os.PathLike)):
        yield Path(checkpoint)
        return
    parts = list(checkpoint) if isinstance(checkpoint, (list, tuple)) else []
    if len(parts) != 2 or not hasattr(parts[0], "generate") or not hasattr(parts[1], "codecs"):
        raise TriglotError(
            f"The checkpoint is a {type(checkpoint).__name__}; a folder or (model, processor) of Triglot is needed."
        )
    if card is None:
        raise TriglotError("A model and a processor bring no model card: pass card=, a Markdown file or its text.")
    with tempfile.TemporaryDirectory() as name:
        for part in parts:
            part.save_pretrained(name)
        export_code(name)
        yield Path(name)


# ---- sending


def _send(
    files: CheckpointFiles,
    card: str | None,
    repo_id: str,
    message: str,
    description: str | None,
    private: bool | None,
    create_pr: bool,
    revision: str | None,
    token: str | bool | None,
) -> "CommitInfo":
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(token=token, library_name="triglot", library_version=__version__)
    there = _repository(api, repo_id)
    if there is None or "/" not in repo_id:  # a bare name is that of another repository until the Hub says whose
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        there = _repository(api, repo_id)
    if private and there is not None and there.private is False:
        raise TriglotError(
            f"{repo_id} is there already and public; make it private in its settings first, or take another."
        )
    if revision not in (None, "main"):
        if not str(revision).startswith("refs/"):
            api.create_branch(repo_id, branch=str(revision), exist_ok=True)
        there = _repository(api, repo_id, revision)  # what is deleted depends on what lies there

    contents: dict[str, Any] = {name: str(files.folder / name) for name in files.names}
    if card is not None:
        contents[CARD] = card.encode()
    old = [entry.rfilename for entry in (there.siblings or [] if there else [])]
    gone = [name for name in old if name not in contents and _WEIGHTS.fullmatch(name)]
    return api.create_commit(
        repo_id,
        [
            *(CommitOperationDelete(path_in_repo=name) for name in gone),
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in contents.items()),
        ],
        commit_message=message,
        commit_description=description,
        revision=revision,
        create_pr=create_pr,
    )


def _repository(api: "HfApi", repo_id: str, revision: str | None = None) -> "ModelInfo | None":
    """What the Hub knows of a repository; None where there is none that this token may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.model_info(repo_id, revision=revision, timeout=ANSWER_SECONDS)
    except RepositoryNotFoundError:
        return None


@contextlib.contextmanager
def _told(repo_id: str) -> Iterator[None]:
    """huggingface_hub's errors as one line each."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        yield
    except TriglotError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = " ".join((error.server_message or str(error)).split())
        why = {401: "the token is not valid", 403: "the token may not write there"}.get(status, f"status {status}")
        raise TriglotError(f"The Hub refuses the push to {repo_id!r} ({why}): {said}") from error
    except (HTTPError, OSError) as error:  # HTTPError: of the connection, before any answer
        raise TriglotError(
            f"The Hub at {constants.ENDPOINT} cannot be reached ({' '.join(str(error).split()) or type(error).__name__}): "
            "see whether there is a network, and what HF_ENDPOINT and the proxy settings say."
        ) from error
    except (ValueError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise TriglotError(f"The push to {repo_id!r} failed: {' '.join(f'{error} ({cause})'.split())}") from error
