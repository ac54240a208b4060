"""What a density is conditioned on, as numbers for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import type_of_target

__all__ = ["Conditions"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Conditions:
    """Classes become indicators, numbers are standardised.

    Attributes
    ----------
    classes : array or None
        Sorted classes; None for numbers.
    centre, scale : array of shape (n_numbers,)
        Units of numbers.
    """

    classes: Any
    centre: Float64
    scale: Float64

    @classmethod
    def none(cls) -> Conditions:
        """Nothing to condition on."""
        return cls(None, np.zeros(0), np.ones(0))

    @classmethod
    def of(cls, y: Any, weights: Float64) -> Conditions:
        """What is seen in targets of shape (n,) or (n, n_numbers)."""
        if np.ndim(y) == 1 and type_of_target(y) in ("binary", "multiclass"):
            return cls(np.unique(y), np.zeros(0), np.ones(0))
        numbers = _numbers(y)
        centre = np.average(numbers, axis=0, weights=weights)
        scale = np.sqrt(np.average((numbers - centre) ** 2, axis=0, weights=weights))
        return cls(None, centre, np.where(scale > 0, scale, 1.0))

    @property
    def width(self) -> int:
        """How many numbers a condition becomes."""
        return len(self.centre) if self.classes is None else len(self.classes)

    def encoded(self, y: Any, n: int) -> Float64:
        """Conditions ``(n, width)`` of rows.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, n_numbers), or None
            Targets; None where there is nothing to condition on.
        n : int
            Number of rows.

        Raises
        ------
        ValueError
            If targets are missing, of another length, or of a class that was not seen.
        """
        if self.width == 0:
            return np.zeros((n, 0))
        if y is None:
            raise ValueError("The density is conditional: give y, a target for every row.")
        y = np.asarray(y)
        if len(y) != n:
            raise ValueError(f"y has {len(y)} targets for {n} rows: give one for every row.")
        return self._numbers_of(y) if self.classes is None else self._indicators(y)

    def _indicators(self, y: Any) -> Float64:
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(f"y has classes that were not in the fit, {self.classes}: {unknown}.")
        return np.asarray(y[:, None] == self.classes, dtype=np.float64)

    def _numbers_of(self, y: Any) -> Float64:
        numbers = _numbers(y)
        if numbers.shape[1] != len(self.centre):
            raise ValueError(
                f"y has {numbers.shape[1]} columns, but the fit had {len(self.centre)}."
            )
        return np.asarray((numbers - self.centre) / self.scale)


def _numbers(y: Any) -> Float64:
    numbers = np.asarray(y, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("y contains NaN or infinity.")
    return numbers.reshape(len(numbers), -1)
