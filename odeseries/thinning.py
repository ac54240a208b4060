"""Rows that are hidden at random, so that sparser histories are trained for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from odeseries.panel import Int64

__all__ = ["thinned"]

Bool = npt.NDArray[np.bool_]


def thinned(
    count: Int64, share: float, rng: np.random.Generator
) -> tuple[Int64, Bool, Int64, Bool]:
    """Choose which rows are kept of every line, and which are hidden.

    Parameters
    ----------
    count : ndarray of int64, shape (n,)
        Rows of each line.
    share : float
        Share that is hidden, rounded to whole rows; of a line with rows one is kept at least.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    kept, hidden : ndarray of int64, shape (n, most kept), (n, most rows)
        Positions; those that are kept rise.
    is_kept, is_hidden : ndarray of bool
        False at padding, where the position is 0.

    Examples
    --------
    >>> import numpy as np
    >>> kept, is_kept, _, is_hidden = thinned(np.array([10, 1]), 0.8, np.random.default_rng(0))
    >>> kept.shape, is_kept.sum(1).tolist(), is_hidden.sum(1).tolist()
    ((2, 2), [2, 1], [8, 0])
    """
    width = max(int(count.max(initial=1)), 1)
    steps = np.arange(width)
    there = steps < count[:, None]
    order = np.argsort(np.where(there, rng.random(there.shape), 2.0), axis=1)
    n_kept = np.maximum(np.round((1 - share) * count), np.minimum(count, 1)).astype(np.int64)
    first = steps < n_kept[:, None]
    kept = np.sort(np.where(first, order, width), axis=1)[:, : max(int(n_kept.max(initial=1)), 1)]
    is_hidden = ~first & there
    return np.where(kept < width, kept, 0), kept < width, np.where(is_hidden, order, 0), is_hidden
