"""What a density is conditioned on, as numbers for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _get_feature_names

from odeseries.errors import DataError
from odeseries.frames.plain import plain_targets, refuse_dates, unknown_labels

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
    names : list of str or None
        Names of the columns of numbers, where they had some.
    """

    classes: Any
    centre: Float64
    scale: Float64
    names: list[str] | None = None

    @classmethod
    def none(cls) -> Conditions:
        """Nothing to condition on."""
        return cls(None, np.zeros(0), np.ones(0))

    @classmethod
    def of(cls, y: Any, weights: Float64) -> Conditions:
        """What is seen in targets of shape (n,) or (n, n_numbers).

        Raises
        ------
        DataError
            If targets are missing, dates, or neither classes that sort nor finite numbers.
        """
        names, y = _names(y), _plain(y)
        classes = _classes(y)
        if classes is not None:
            return cls(classes, np.zeros(0), np.ones(0))
        numbers = _numbers(y)
        centre = np.average(numbers, axis=0, weights=weights)
        return cls(None, centre, _scales(numbers, centre, weights), names)

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
        y = self.targets(y)
        if len(y) != n:
            raise ValueError(f"y has {len(y)} targets for {n} rows: give one for every row.")
        return self._numbers_of(y) if self.classes is None else self._indicators(y)

    def targets(self, y: Any) -> Any:
        """Targets as an array, in the order of columns that the fit saw.

        Raises
        ------
        DataError
            If some are missing or dates, or their columns have other names.
        """
        names = _names(y)
        if self.names and names and names != self.names:
            raise DataError(
                f"y has the columns {names}, but the fit had {self.names}: give them in that order."
            )
        return _plain(y)

    def _indicators(self, y: Any) -> Float64:
        if y.ndim != 1:
            raise ValueError(
                f"y of shape {y.shape} must hold a class for every row, in the shape (n,)."
            )
        unknown = unknown_labels(y, self.classes)
        if unknown:
            raise ValueError(f"y has classes that were not in the fit, {self.classes}: {unknown}.")
        return np.asarray(y[:, None] == self.classes, dtype=np.float64)

    def _numbers_of(self, y: Any) -> Float64:
        numbers = _numbers(y)
        if numbers.shape[1] != len(self.centre):
            raise ValueError(
                f"y has {numbers.shape[1]} columns, but the fit had {len(self.centre)}."
            )
        return np.asarray((numbers - self.centre) / self.scale)


def _names(y: Any) -> list[str] | None:
    names = _get_feature_names(y)
    return None if names is None else list(map(str, names))


def _plain(y: Any) -> Any:
    """Targets as an array, none of them a date, missing or infinite."""
    refuse_dates(y, "y")
    return _finite(np.asarray(plain_targets(y)))


def _finite(y: Any) -> Any:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError("y contains infinity: replace it by a number, or drop these rows.")
    return y


def _classes(y: Any) -> Any:
    """Sorted classes; None where targets are numbers."""
    if y.ndim != 1:
        return None
    try:
        return np.unique(y) if type_of_target(y) in ("binary", "multiclass") else None
    except TypeError as error:
        raise DataError(
            f"y holds classes that do not sort ({error}): let all be texts, or all numbers."
        ) from error


def _scales(numbers: Float64, centre: Float64, weights: Float64) -> Float64:
    """Standard deviations; 1 for numbers that are constant up to rounding."""
    scales = np.sqrt(np.average((numbers - centre) ** 2, axis=0, weights=weights))
    # The mean of a constant may be off by its rounding.
    extent = np.ptp(numbers[weights > 0], axis=0)
    return np.where(extent > 10 * np.finfo(float).eps * np.abs(centre), scales, 1.0)


def _numbers(y: Any) -> Float64:
    try:
        numbers = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"y has the shape {np.shape(y)} and holds no numbers ({error}): give numbers, or "
            "classes as a Series of shape (n,)."
        ) from error
    finite: Float64 = _finite(numbers.reshape(len(numbers), -1))
    return finite
