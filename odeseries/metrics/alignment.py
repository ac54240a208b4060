"""Arrays that belong together row by row, or an error that names the two that don't."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.panel import Float64

__all__ = [
    "aligned",
    "aligned_levels",
    "aligned_samples",
    "as_floats",
    "observed",
    "refuse_reordered",
    "require_samples",
]

OBSERVED = ("truth", "values")
"""Names of what was observed, of which NaN was not."""


def aligned(**given: npt.ArrayLike) -> list[Float64]:
    """Arrays of one shape, by their names; a scalar is taken for all.

    Parameters
    ----------
    **given : array-like of shape (...,)
        Each has the shape of the first that is no scalar.

    Returns
    -------
    list of ndarray of shape (...,)
        In the order given.

    Raises
    ------
    ValueError
        If shapes differ, pandas objects have the same labels in another order, or an observed value
        is infinite.
    """
    arrays = {
        name: observed(values, name) if name in OBSERVED else as_floats(values)
        for name, values in given.items()
    }
    first = next((name for name, array in arrays.items() if array.ndim), "")
    for name, array in arrays.items():
        if array.ndim and array.shape != arrays[first].shape:
            raise ValueError(
                f"{first} of shape {arrays[first].shape} needs {name} of the same shape, not "
                f"{array.shape}; of a frame of one column take the column."
            )
    refuse_reordered(**given)
    return list(np.broadcast_arrays(*arrays.values()))


def aligned_levels(
    truth: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike
) -> tuple[Float64, Float64, Float64]:
    """Truth (...,), quantiles (..., n_levels) and levels (n_levels,).

    Quantiles of shape (n_levels,) are taken for every truth, quantiles of any shape for a scalar.

    Raises
    ------
    ValueError
        If shapes differ, levels are not in (0, 1), pandas objects have the same labels in another
        order, or a truth is infinite.
    """
    y, q = observed(truth), as_floats(quantiles)
    level = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    fits = q.ndim == 1 or not y.ndim or q.shape[:-1] == y.shape
    if q.shape[-1:] != level.shape or not fits:
        raise ValueError(
            f"truth of shape {y.shape} and levels of shape {level.shape} need quantiles of shape "
            f"{(*y.shape, *level.shape)}, not {q.shape}."
        )
    if not len(level) or not ((level > 0) & (level < 1)).all():
        raise ValueError(
            f"levels={level.tolist()} must be in (0, 1), such as 0.25 for a quarter, and at least "
            "one."
        )
    refuse_reordered(truth=truth, quantiles=quantiles)
    shape = q.shape[:-1] if not y.ndim else y.shape
    return np.broadcast_to(y, shape), np.broadcast_to(q, (*shape, *level.shape)), level


def aligned_samples(truth: npt.ArrayLike, samples: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Truth (...,) and samples (..., n_samples).

    Raises
    ------
    ValueError
        If shapes differ, there are no samples, pandas objects have the same labels in another
        order, or a truth is infinite.
    """
    y, drawn = observed(truth), as_floats(samples)
    if not drawn.ndim or drawn.shape[:-1] != y.shape:
        raise ValueError(
            f"truth of shape {y.shape} needs samples of shape {(*y.shape, 'n_samples')}, not "
            f"{drawn.shape}."
        )
    require_samples(drawn.shape[-1])
    refuse_reordered(truth=truth, samples=samples)
    return y, drawn


def as_floats(values: npt.ArrayLike) -> Float64:
    """An array of floats; what is missing in columns of any type is NaN."""
    if isinstance(values, pd.DataFrame) and len(values.columns):
        return np.stack([as_floats(column) for _, column in values.items()], axis=1)
    if isinstance(values, pd.Series):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values, dtype=np.float64)


def observed(values: npt.ArrayLike, name: str = "truth") -> Float64:
    """Observations as floats, none of them infinite; NaN is "not observed"."""
    array = as_floats(values)
    infinite = np.argwhere(np.isinf(array)).tolist()
    if infinite:
        position = infinite[0][0] if array.ndim == 1 else tuple(infinite[0])
        raise ValueError(
            f"{name} is infinite at position {position}, the first of {len(infinite)} such values. "
            "Replace them by NaN if they mean 'not observed'."
        )
    return array


def require_samples(n_samples: int) -> None:
    """Refuse to score by no sample at all."""
    if not n_samples:
        raise ValueError("There are no samples: give at least one for every truth.")


def refuse_reordered(**given: Any) -> None:
    """Refuse pandas objects with the same labels in another order; others go by position."""
    labelled = {k: v for k, v in given.items() if isinstance(v, (pd.Series, pd.DataFrame))}
    for (first, one), (second, other) in combinations(labelled.items(), 2):
        if _reordered(one.index, other.index):
            raise ValueError(
                f"{first} and {second} have the same labels in another order, but are compared row "
                f"by row: give {second} as {second}.loc[{first}.index]."
            )
        if one.ndim == other.ndim == 2 and _reordered(one.columns, other.columns):
            raise ValueError(
                f"{first} and {second} have the same columns in another order, but are compared "
                f"column by column: give {second} as {second}[{first}.columns]."
            )


def _reordered(one: pd.Index, other: pd.Index) -> bool:
    return len(one) == len(other) and set(one) == set(other) and not one.equals(other)
