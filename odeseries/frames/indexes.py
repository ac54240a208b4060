"""Indexes of ids and times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["joined"]


def joined(levels: Sequence[pd.Index]) -> pd.MultiIndex:
    """Index of several levels, row by row; ids may be tuples.

    Parameters
    ----------
    levels : sequence of Index of length n_rows
        Ids, times and the like.

    Returns
    -------
    MultiIndex of length n_rows

    Notes
    -----
    Pandas sorts the labels of a level, and takes tuples beside other labels for rows of a table,
    with a warning in version 3. Tuples are left in the order of their first appearance here.
    """
    if not any(_has_tuples(level) for level in levels):
        return pd.MultiIndex.from_arrays(levels)
    parts = [_numbered(level) for level in levels]
    codes, labels = zip(*parts, strict=True)
    return pd.MultiIndex(labels, codes, names=[level.name for level in levels])


def _has_tuples(level: pd.Index) -> bool:
    if not pd.api.types.is_object_dtype(level.dtype):
        return False
    return any(isinstance(label, tuple) for label in level.unique())


def _numbered(level: pd.Index) -> tuple[npt.NDArray[np.intp], pd.Index]:
    """Number of the label of each row, and the labels."""
    codes, labels = pd.factorize(level, sort=not _has_tuples(level))
    return codes, labels
