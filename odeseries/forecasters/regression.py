"""Ridge regression of changes, which a few wild values can't turn against all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["CLIP", "Regression", "is_for_few", "n_different", "standardised"]

PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
CLIP = 10.0
"""In standard deviations of a column; what lies beyond tells no more."""
WILD = 0.05
"""Share of the values on either side that are taken for wild, where some are."""
COST = 2.0
LOOKED_AT = 2000
"""Examples among which different ones are counted."""
GROUPS = 8
"""In which ages are told apart, with as many examples each."""
LEAST_CHANGE = 0.1
"""Least size of changes at an age, relative to that of all."""


def n_different(x: Tensor, y: Tensor) -> int:
    """Number of different examples among some; of few rows each is drawn many times.

    Parameters
    ----------
    x : Tensor of shape (n, n_columns)
    y : Tensor of shape (n,)
    """
    examples = torch.cat([x, y[:, None]], 1)
    return len(torch.unique(examples[:: max(len(y) // LOOKED_AT, 1)], dim=0))


@dataclass(frozen=True, eq=False)
class Regression:
    """A linear function of standardised columns.

    Attributes
    ----------
    centre, size : Tensor of shape (n_columns,)
        Means and standard deviations of the columns.
    weights : Tensor of shape (n_columns + 1,)
        The constant, and the coefficients.
    bounds : Tensor of shape (2,)
        The least and the largest change of the training.
    """

    centre: Tensor
    size: Tensor
    weights: Tensor
    bounds: Tensor

    @classmethod
    def fitted(cls, x: Tensor, y: Tensor, age: Tensor) -> Self | None:
        """Regress changes on columns.

        Changes in a short time are small, those in a long time large, so that least squares would
        serve these alone: they are weighted by the changes at similar ages. One that serves a few
        wild values at the cost of all others is made again with the outer twentieths of all columns
        and changes moved to where these begin.

        Parameters
        ----------
        x : Tensor of shape (n, n_columns)
        y : Tensor of shape (n,)
        age : Tensor of shape (n,)
            Time over which a value changed.

        Returns
        -------
        Regression or None
            None if that serves no others either: it is best to foretell no change.

        References
        ----------
        Aitken, A. C. (1936). On Least Squares and Linear Combination of Observations. Proceedings
        of the Royal Society of Edinburgh 55, 42. (Weighted least squares.)
        """
        precision = _precision(age, y)
        found = cls._least(x, y, precision)
        if not found._is_for_few(x, y):
            return found
        tamed = cls._least(_within(x), _within(y), precision)
        return None if tamed._is_for_few(x, y) else tamed

    @classmethod
    def _least(cls, x: Tensor, y: Tensor, precision: Tensor) -> Self:
        """With the least generalised cross-validation error, in units of the expected changes."""
        share = precision**2 / (precision**2).sum()
        centre = share @ x
        spread = (share @ (x - centre) ** 2).sqrt()
        size = torch.where(spread > 1e-9, spread, 1.0)
        z = standardised(x, centre, size)
        at_zero, off = share @ y, share @ z
        scale = (share * len(y)).sqrt()
        slopes = _ridge((z - off) * scale[:, None], (y - at_zero) * scale)
        weights = torch.cat([(at_zero - off @ slopes)[None], slopes])
        return cls(centre, size, weights, torch.stack([y.min(), y.max()]))

    def __call__(self, x: Tensor) -> Tensor:
        """Changes foretold for columns (n, n_columns)."""
        z = standardised(x, self.centre, self.size)
        return (z @ self.weights[1:] + self.weights[0]).clamp(*self.bounds)

    def _is_for_few(self, x: Tensor, y: Tensor) -> bool:
        return is_for_few(torch.ones_like(y), y, y - self(x))


def standardised(x: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """Columns (..., n_columns) in standard deviations."""
    return ((x - centre) / size).clamp(-CLIP, CLIP)


def is_for_few(n: Tensor, before: Tensor, after: Tensor) -> bool:
    """Whether a correction lowers the errors of a few wild values alone, if any.

    So it is where squared errors are more than twice as large, once all beyond the outer twentieths
    of the errors without it counts as no more than these.

    Parameters
    ----------
    n : Tensor of shape (n_groups,)
        Errors in every group.
    before, after : Tensor of shape (n_groups,)
        Their means, without a correction and with it.
    """
    low, high = _bounds(before)
    without, corrected = (n @ errors.clamp(low, high) ** 2 for errors in (before, after))
    return bool(corrected > COST * without)


def _precision(age: Tensor, changes: Tensor) -> Tensor:
    """One over the size (n,) of the changes at similar ages, relative to that of all."""
    ordered = age.sort().values
    edges = ordered[[len(age) * k // GROUPS for k in range(1, GROUPS)]]
    group = torch.bucketize(age, edges)
    count = group.bincount(minlength=GROUPS).clamp(min=1)
    squares = torch.zeros_like(count, dtype=changes.dtype).index_add(0, group, changes**2) / count
    whole = changes.square().mean()
    return (whole / squares.clamp(min=LEAST_CHANGE**2 * whole)).sqrt()[group].nan_to_num(nan=1.0)


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """Coefficients with the least generalised cross-validation error.

    References
    ----------
    Golub, G. H., Heath, M., Wahba, G. (1979). Generalized Cross-Validation as a Method for
    Choosing a Good Ridge Parameter. Technometrics 21, 215. Equation (1.4).
    """
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    along = u.T @ y
    rest = (y**2).sum() - (along**2).sum()

    def error(penalty: float) -> float:
        shrink = penalty / (s**2 + penalty)
        squares = ((shrink * along) ** 2).sum() + rest
        return float(squares / (len(y) - (1 - shrink).sum()) ** 2)

    best = min(PENALTIES, key=error)
    return torch.as_tensor(vt.T @ (s / (s**2 + best) * along))


def _within(values: Tensor) -> Tensor:
    """Values with the outer twentieths moved to where these begin, along the first axis."""
    return values.clamp(*_bounds(values))


def _bounds(values: Tensor) -> tuple[Tensor, Tensor]:
    """Where the outer twentieths begin, along the first axis."""
    ordered = values.sort(0).values
    last = len(ordered) - 1
    return ordered[round(WILD * last)], ordered[round((1 - WILD) * last)]
