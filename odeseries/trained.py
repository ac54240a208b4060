"""What a training loop knows of its course."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from odeseries.control import Record

__all__ = ["Trained"]


@dataclass
class Trained:
    """How far a loop came and what it found; plain values, so that a checkpoint can hold it.

    Attributes
    ----------
    steps : int
        Steps after which the kept weights were taken.
    loss : float
        Validation loss of the kept weights; NaN where nothing was held out.
    records : list of dict
        One entry an epoch.
    skipped : int
        Steps left out because their loss or gradient was not finite.
    epoch, step : int
        Epochs and steps done.
    mark : float
        Validation loss at which waiting for a better one began.
    waited : int
        Epochs since then.
    finished : bool
        Whether the loop came to its end.
    interrupted : bool
        Whether a person broke it off.
    """

    steps: int = 0
    loss: float = math.nan
    records: list[Record] = field(default_factory=list)
    skipped: int = 0
    epoch: int = 0
    step: int = 0
    mark: float = math.nan
    waited: int = 0
    finished: bool = False
    interrupted: bool = False
