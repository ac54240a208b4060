"""Rows of a classification: what a batch holds, how rows are drawn and held out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from torch import Tensor

from odeseries.training import shuffled

__all__ = ["Rows", "announced", "hold_out"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """Rows with their classes and weights.

    Attributes
    ----------
    x : Tensor of shape (n, n_features) or (n, height, width, channels)
        Standardised.
    labels : Tensor of int64, shape (n,)
        Positions in the sorted classes.
    weights : Tensor of shape (n,)
        With a mean of 1 over the rows that are trained on.
    """

    x: Tensor
    labels: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Tensor | slice) -> Rows:
        """Some of the rows."""
        return Rows(self.x[chosen], self.labels[chosen], self.weights[chosen])

    def epochs(self, size: int, rng: np.random.Generator) -> Iterator[Iterator[Rows]]:
        """Endless epochs, each in an order of its own."""
        while True:
            yield self.epoch(size, rng)

    def epoch(self, size: int, rng: np.random.Generator) -> Iterator[Rows]:
        """Every row once, in batches of nearly equal size, none larger than ``size``."""
        return map(self.take, shuffled(len(self), size, rng, self.labels.device))


def hold_out(
    labels: npt.NDArray[np.intp], share: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Split rows into those that are trained on and those held out, by class where possible.

    A class of a single row is trained on.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Classes.
    share : float
        Share held out.
    rng : Generator

    Returns
    -------
    known, held : arrays of int
        Positions, sorted; none is held out where there are fewer than two rows to share.

    Warns
    -----
    UserWarning
        If a class is too rare to be on both sides.
    """
    counts = np.bincount(labels)
    shared = np.flatnonzero(counts[labels] > 1)
    if len(shared) < 2:
        warnings.warn("Too few rows to hold any out: early stopping is off.", stacklevel=5)
        return np.arange(len(labels)), shared[:0]
    n_held = min(max(1, round(share * len(labels))), len(shared) - 1)
    n_classes = int((counts > 1).sum())
    by_class = min(n_held, len(shared) - n_held) >= n_classes
    if not by_class or (counts == 1).any():
        rare = int(counts[counts > 0].min())
        warnings.warn(
            f"The rarest class has {rare} of {len(labels)} rows, and {n_held} rows are held out "
            f"for early stopping: not every class is both trained on and held out. Raise "
            f"validation_fraction, or set early_stopping=False.",
            stacklevel=5,
        )
    kind = StratifiedShuffleSplit if by_class else ShuffleSplit
    seed = int(rng.integers(2**31 - 1))
    split = kind(n_splits=1, test_size=n_held, random_state=seed).split(shared, labels[shared])
    held = np.sort(shared[next(split)[1]])
    return np.setdiff1d(np.arange(len(labels)), held), held


def announced(y: Any, classes: Any, known: Any) -> Any:
    """All classes of a training in parts.

    Parameters
    ----------
    y : array of shape (n,)
        Labels of one part.
    classes : array-like or None
        What the user announces.
    known : array or None
        What was announced in the first call; None in the first.

    Raises
    ------
    ValueError
        If nothing was announced, or not the same as before, or not all of the labels.
    """
    if known is None and classes is None:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    if known is None:
        known = np.unique(classes)
    elif classes is not None and not np.array_equal(known, np.unique(classes)):
        raise ValueError(f"classes={classes!r} are not those of the first call, {known}.")
    unknown = np.setdiff1d(y, known)
    if len(unknown):
        raise ValueError(f"y has labels that are not among the classes {known}: {unknown}.")
    return known
