"""Files that appear at once, when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside a file to write to, moved onto the file at the end.

    The system moves it at once: whenever the process dies, the old or the new file is there,
    whole. No other process writes to the same place.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.part")
    yield new
    new.replace(path)
