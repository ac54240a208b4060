"""What watches and ends a fit from outside: its time, and the callables that see every epoch."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from odeseries.checkpoints import Store
from odeseries.frames.clock import as_seconds
from odeseries.frames.stamps import is_number

__all__ = [
    "LIMITS",
    "Budget",
    "Callback",
    "Control",
    "Limit",
    "Pace",
    "Record",
    "Share",
    "as_callbacks",
]

Record = dict[str, float | int | str]
Callback = Callable[[Mapping[str, float | int | str]], object]
Limit = float | str | dt.timedelta | np.timedelta64
LIMITS: list[Any] = [
    str,
    dt.timedelta,
    np.timedelta64,
    Interval(Real, 0, None, closed="neither"),  # last: it fails on lengths of numpy
    None,
]
"""What ``max_time`` may be, for scikit-learn's checks of parameters."""


class Budget:
    """Time that a fit may take, counted from here on.

    Parameters
    ----------
    max_time : float, str, timedelta, timedelta64 or None
        Seconds, or a length of time such as ``"10min"``; None is without end.

    Raises
    ------
    ValueError
        If the length is not understood, or not positive.
    """

    def __init__(self, max_time: Limit | None = None) -> None:
        self._end = time.perf_counter() + _seconds(max_time)

    def left(self) -> float:
        """Seconds left; negative when the time is over."""
        return self._end - time.perf_counter()


class Pace:
    """Mean seconds of what is done inside."""

    def __init__(self) -> None:
        self._total, self._count, self._started = 0.0, 0, 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._total += time.perf_counter() - self._started
        self._count += 1

    def seconds(self) -> float:
        """0 before the first."""
        return self._total / max(self._count, 1)


class Share:
    """Share of a cycle that is done, in steps or in time, whichever is farther."""

    def __init__(self, budget: Budget, steps: int, tail: float) -> None:
        self._budget, self._steps, self._tail = budget, steps, tail
        self._allowed = max(self._budget.left() - tail, 1e-9)

    def __call__(self, step: int) -> float:
        """The share after so many steps, at most 1."""
        left = self._budget.left() - self._tail
        in_time = 0.0 if math.isinf(left) else 1 - left / self._allowed
        return min(max(step / self._steps, in_time), 1.0)


@dataclass(frozen=True)
class Control:
    """What may end a fit, and where its progress is kept.

    Attributes
    ----------
    budget : Budget
        Time over all phases.
    callbacks : tuple of callable
        Called with a read-only record after every epoch.
    store : Store or None
        Where checkpoints are written.
    """

    budget: Budget = field(default_factory=Budget)
    callbacks: tuple[Callback, ...] = ()
    store: Store | None = None

    def wants_end(self, record: Record) -> bool:
        """Show an epoch to every callback; whether one of them ends the phase."""
        shown = MappingProxyType(dict(record))
        answers = [callback(shown) for callback in self.callbacks]
        return any(answers)


def as_callbacks(given: Callback | Sequence[Callback] | None) -> tuple[Callback, ...]:
    """A tuple of callables.

    Raises
    ------
    TypeError
        If one can't be called.
    """
    several = () if given is None else (given,) if callable(given) else tuple(given)
    for one in several:
        if not callable(one):
            raise TypeError(f"callbacks holds {one!r}, which can't be called: give functions.")
    return several


def _seconds(max_time: Limit | None) -> float:
    """Seconds of a length of time, infinitely many for None."""
    if max_time is None:
        return math.inf
    seconds = float(max_time) if is_number(max_time) else as_seconds(max_time, "max_time")
    if seconds is None:
        raise ValueError(
            f"max_time={max_time!r} is not understood: give seconds as a number, or a length "
            'of time such as "10min".'
        )
    if not seconds > 0:
        raise ValueError(f"max_time={max_time!r} must be positive.")
    return seconds
