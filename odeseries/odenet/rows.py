"""Rows of a classification: what a batch holds, how rows are drawn and held out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from torch import Tensor

from odeseries.estimators import checked_weights
from odeseries.frames.plain import unknown_labels
from odeseries.training import shuffled

__all__ = ["Rows", "announced", "hold_out", "weights_of"]

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
    unknown = unknown_labels(y, known)
    if unknown:
        raise ValueError(f"y has labels that are not among the classes {known}: {unknown}.")
    return known


def weights_of(
    X: Any, y: Any, sample_weight: Any, class_weight: Any, classes: Any
) -> npt.NDArray[np.float64]:
    """Weights of rows times those of their classes.

    Parameters
    ----------
    X : array of shape (n, ...)
        Rows.
    y : array of shape (n,)
        Their classes.
    sample_weight : array-like of shape (n,) or None
        Weights of the rows.
    class_weight : mapping, "balanced" or None
        Weights of the classes; balanced ones count the rows that have a weight.
    classes : array of shape (n_classes,)
        All classes, sorted.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or none is left.
    """
    weights = checked_weights(X, sample_weight)
    counted = weights > 0
    weights[counted] *= _factors(y[counted], class_weight, classes)
    if not (weights > 0).any():
        raise ValueError(f"class_weight={class_weight!r} leaves no row a weight.")
    return weights


def _factors(y: Any, class_weight: Any, classes: Any) -> Any:
    """The weight of the class of every row."""
    if not isinstance(class_weight, Mapping):
        return compute_sample_weight(class_weight, y)
    wrong = {k: w for k, w in class_weight.items() if not (np.isfinite(w) and w >= 0)}
    if wrong:
        raise ValueError(f"class_weight must be finite and not negative, but has {wrong}.")
    each = compute_class_weight(dict(class_weight), classes=classes, y=classes)
    return each[np.searchsorted(classes, y)]
