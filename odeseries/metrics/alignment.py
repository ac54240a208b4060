"""Arrays that belong together row by row, or an error that names the two that don't."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.panel import Float64

__all__ = ["aligned", "aligned_levels", "aligned_samples", "refuse_reordered"]


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
        If shapes differ, or pandas objects have the same labels in another order.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    first = next((name for name, array in arrays.items() if array.ndim), "")
    for name, array in arrays.items():
        if array.ndim and array.shape != arrays[first].shape:
            raise ValueError(
                f"{first} of shape {arrays[first].shape} needs {name} of the same shape, not "
                f"{array.shape}; of a frame of one column take the column."
            )
        if array.ndim:
            refuse_reordered(first, given[first], name, given[name])
    return list(np.broadcast_arrays(*arrays.values()))


def aligned_levels(
    truth: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike
) -> tuple[Float64, Float64, Float64]:
    """Truth (...,), quantiles (..., n_levels) and levels (n_levels,).

    Quantiles of shape (n_levels,) are taken for every truth, quantiles of any shape for a scalar.

    Raises
    ------
    ValueError
        If shapes differ, or pandas objects have the same labels in another order.
    """
    y, q = np.asarray(truth, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    level = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    fits = q.ndim == 1 or not y.ndim or q.shape[:-1] == y.shape
    if q.shape[-1:] != level.shape or not fits:
        raise ValueError(
            f"truth of shape {y.shape} and levels of shape {level.shape} need quantiles of shape "
            f"{(*y.shape, *level.shape)}, not {q.shape}."
        )
    refuse_reordered("truth", truth, "quantiles", quantiles)
    shape = q.shape[:-1] if not y.ndim else y.shape
    return np.broadcast_to(y, shape), np.broadcast_to(q, (*shape, *level.shape)), level


def aligned_samples(truth: npt.ArrayLike, samples: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Truth (...,) and samples (..., n_samples).

    Raises
    ------
    ValueError
        If shapes differ, or pandas objects have the same labels in another order.
    """
    y, drawn = np.asarray(truth, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if not drawn.ndim or drawn.shape[:-1] != y.shape:
        raise ValueError(
            f"truth of shape {y.shape} needs samples of shape {(*y.shape, 'n_samples')}, not "
            f"{drawn.shape}."
        )
    refuse_reordered("truth", truth, "samples", samples)
    return y, drawn


def refuse_reordered(first: str, one: Any, second: str, other: Any) -> None:
    """Refuse pandas objects with the same labels in another order; others go by position."""
    if not all(isinstance(values, (pd.Series, pd.DataFrame)) for values in (one, other)):
        return
    same = len(one) == len(other) and set(one.index) == set(other.index)
    if same and not one.index.equals(other.index):
        raise ValueError(
            f"{first} and {second} have the same labels in another order, but are compared row by "
            f"row: give {second} as {second}.loc[{first}.index]."
        )
