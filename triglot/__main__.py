"""`python -m triglot` is the `triglot` command."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
