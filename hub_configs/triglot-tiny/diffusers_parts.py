"""Classes of diffusers that models are built of: imported when one is built, and not before."""

import importlib
from typing import Any


def diffusers_class(name: str, module: str = "diffusers") -> Any:
    """A class of diffusers by its name; code that is shipped with a checkpoint loads where diffusers is missing.

    Raises:
        ImportError: diffusers is missing; says how to install it.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ImportError(f"{name} comes from diffusers ({error}): pip install diffusers") from error


__all__ = ["diffusers_class"]
