"""The one exception a user of Triglot needs to catch."""


class TriglotError(ValueError):
    """An input or a checkpoint that cannot be served. The message says what came, what is allowed and what to do.

    Raised before any long work, and before anything is written to disk.
    """
