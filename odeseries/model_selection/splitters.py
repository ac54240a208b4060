"""Splitters for scikit-learn: by time, and by series."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from odeseries.arguments import is_whole
from odeseries.errors import DataError
from odeseries.model_selection.rows import Rows, read_rows
from odeseries.panel import Int64

__all__ = ["Fold", "PanelSplit", "TimeSplit"]

INITIAL_HORIZONS = 3


@dataclass(frozen=True, eq=False)
class Fold:
    """One cutoff: positions of the rows up to it, and of those within the horizon after it."""

    cutoff: Any
    train: Int64
    test: Int64


@dataclass(frozen=True)
class TimeSplit:
    """Train on what lies up to a cutoff, test on the horizon after it; the cutoff moves on.

    Lengths are times, not rows, and all series of a panel have the same cutoffs, so that nothing
    is learnt from the future of another series. The last cutoff lies a horizon before the end of
    the data, the others ``period`` before one another. A fold tests only series with something
    observed on both sides of its cutoff; a cutoff without any is passed over.

    Parameters
    ----------
    horizon : str, timedelta or number
        How far each fold tests: ``"730D"`` for dates, a number for numbers.
    initial : str, timedelta or number, optional
        Shortest time from the start of the data to a cutoff; one horizon by default, or three if
        ``n_splits`` is not given.
    period : str, timedelta or number, optional
        Time between two cutoffs; the horizon by default.
    n_splits : int, optional
        Number of folds, the last ones; as many as there are by default.
    cutoffs : time or sequence of times, optional
        The cutoffs themselves, all different, instead of ``initial``, ``period`` and ``n_splits``.
    time_col, id_col : hashable, optional
        Columns of a long frame, as the forecaster has them.
    targets : hashable or list of hashable, optional
        Columns that are forecast, as the forecaster has them; what the other columns hold then
        does not count as observed. All columns by default.

    Notes
    -----
    A fold is a pair of positional indices, in the order of the rows, as scikit-learn wants them.
    Times that are floats are compared but for their rounding, and a cutoff that falls on a row to
    within it is the time of that row.

    References
    ----------
    Tashman, L. J. (2000). Out-of-sample tests of forecasting accuracy: an analysis and review.
    International Journal of Forecasting 16, 437. Section 3, rolling origins.

    Examples
    --------
    >>> import pandas as pd
    >>> from odeseries.model_selection import TimeSplit
    >>> y = pd.Series(range(6), index=[0.0, 1.0, 1.5, 4.0, 5.0, 6.0])
    >>> for train, test in TimeSplit(1.0, initial=1.0).split(y):
    ...     print(train, test)
    [0 1] [2]
    [0 1 2] [3]
    [0 1 2 3] [4]
    [0 1 2 3 4] [5]
    """

    horizon: Any
    initial: Any = None
    period: Any = None
    n_splits: int | None = None
    cutoffs: Any = None
    time_col: Hashable = None
    id_col: Hashable = None
    targets: Any = None

    def __post_init__(self) -> None:
        n = self.n_splits
        if n is not None and (not is_whole(n) or n < 1):
            raise ValueError(f"n_splits={n!r} must be a whole number, at least 1, or None.")

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Int64, Int64]]:
        """Positions of the rows to train on and to test on, earliest cutoff first.

        Parameters
        ----------
        X : Series or DataFrame
            Data in any form that a forecaster is fitted on.
        y : Series, DataFrame or array, optional
            The targets, row by row.
        groups : object
            Ignored; scikit-learn passes it.
        """
        del groups
        return iter([(fold.train, fold.test) for fold in self.folds(X, y)])

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds; the data are needed unless ``n_splits`` or ``cutoffs`` is given."""
        del groups
        if self.n_splits is not None:
            return self.n_splits
        if self.cutoffs is not None:
            return len(_listed(self.cutoffs))
        if X is None:
            raise ValueError("The number of folds follows from the data: pass X, or set n_splits.")
        return len(self.folds(X, y))

    def folds(self, X: Any, y: Any = None) -> list[Fold]:
        """The folds with their cutoffs, earliest first.

        Raises
        ------
        DataError
            If the data can't be read, a length is of another kind than the times, a cutoff is
            given twice, or there are fewer folds than asked for.
        """
        rows = read_rows(X, y, self.time_col, self.id_col, self.targets)
        horizon = rows.length(self.horizon, "horizon")
        period = horizon if self.period is None else rows.length(self.period, "period")
        slack = rows.slack(horizon, period)
        if self.cutoffs is not None:
            return self._given(rows, horizon, slack)
        found: list[Fold] = []
        for cutoff in self._backwards(rows, horizon, period, slack):
            fold = _fold(rows, cutoff, horizon, slack)
            if len(fold.test):
                found.append(fold)
            if len(found) == self.n_splits:
                break
        wanted = 1 if self.n_splits is None else self.n_splits
        if len(found) < wanted:
            raise DataError(
                f"The data have room for {len(found)} folds of horizon={self.horizon!r}, but "
                f"{wanted} are wanted: shorten horizon, period or initial, or lower n_splits."
            )
        return found[::-1]

    def _given(self, rows: Rows, horizon: Any, slack: Any) -> list[Fold]:
        """Folds at the given cutoffs."""
        if any(value is not None for value in (self.initial, self.period, self.n_splits)):
            raise ValueError("Give cutoffs, or initial, period and n_splits, not both.")
        stamps = rows.stamps(_listed(self.cutoffs), "cutoffs").sort_values()
        if stamps.empty:
            raise DataError("cutoffs is empty: give at least one, or leave it out.")
        repeated = stamps[stamps.duplicated()]
        if len(repeated):
            raise DataError(
                f"cutoffs has {repeated[0]} more than once, which would make the same fold again: "
                "give every cutoff once."
            )
        found = [_fold(rows, cutoff, horizon, slack) for cutoff in stamps]
        empty = next((fold.cutoff for fold in found if not len(fold.test)), None)
        if empty is not None:
            raise DataError(
                f"No series has something observed both up to the cutoff {empty} and in the "
                "horizon after it: move the cutoff."
            )
        return found

    def _backwards(self, rows: Rows, horizon: Any, period: Any, slack: Any) -> Iterator[Any]:
        """Cutoffs from the last one back."""
        seen = rows.when[rows.observed]
        if not len(seen):
            raise DataError("Nothing was observed: every value is NaN.")
        initial = horizon if self.n_splits is not None else INITIAL_HORIZONS * horizon
        if self.initial is not None:
            initial = rows.length(self.initial, "initial")
        start, last = seen.min() + initial, seen.max() - horizon
        count = 0
        while (cutoff := last - count * period) >= start - slack:
            yield rows.snapped(cutoff, slack)
            count += 1


@dataclass(frozen=True)
class PanelSplit:
    """Train on some series of a panel, test on the others; every series is tested once.

    A forecaster's ``score`` takes what lies before the last horizon of a series that it has not
    seen as the history of that series.

    Parameters
    ----------
    n_splits : int
        Number of folds.
    random_state : int, optional
        Seed of the assignment; another one at every call by default.
    time_col, id_col : hashable, optional
        Columns of a long frame, as the forecaster has them.

    Examples
    --------
    >>> from odeseries.datasets import make_periodic
    >>> from odeseries.model_selection import PanelSplit
    >>> panel = make_periodic(n_series=6, n_obs=10)
    >>> [len(test) for _, test in PanelSplit(3, random_state=0).split(panel)]
    [20, 20, 20]
    """

    n_splits: int = 5
    random_state: int | None = None
    time_col: Hashable = None
    id_col: Hashable = None

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Int64, Int64]]:
        """Positions of the rows to train on and to test on.

        Parameters
        ----------
        X : DataFrame
            A panel in any form that a forecaster is fitted on.
        y : DataFrame or array, optional
            The targets, row by row.
        groups : object
            Ignored; scikit-learn passes it.

        Raises
        ------
        DataError
            If there are fewer series than folds, or less than two folds.
        """
        del groups
        codes = read_rows(X, y, self.time_col, self.id_col).codes
        n_series = int(codes.max()) + 1
        if not is_whole(self.n_splits) or not 2 <= self.n_splits <= n_series:
            raise DataError(
                f"{n_series} series can't be split into n_splits={self.n_splits!r} folds: at least "
                "two folds, and a series for each, are needed. TimeSplit splits a single series."
            )
        order = np.random.default_rng(self.random_state).permutation(n_series)
        fold = np.empty(n_series, dtype=np.int64)
        fold[order] = np.arange(n_series) % self.n_splits
        of_row = fold[codes]
        for k in range(self.n_splits):
            yield np.flatnonzero(of_row != k), np.flatnonzero(of_row == k)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        del X, y, groups
        return self.n_splits


def _listed(cutoffs: Any) -> Sequence[Any] | pd.Index:
    """Several cutoffs, or a single one in a list."""
    return [cutoffs] if pd.api.types.is_scalar(cutoffs) else cutoffs


def _fold(rows: Rows, cutoff: Any, horizon: Any, slack: Any) -> Fold:
    """Rows up to a cutoff and after it, of the series that are observed there."""
    before = rows.upto(cutoff, slack)
    after = ~before & rows.upto(cutoff + horizon, slack)
    known = rows.series_with(before)
    tested = after & known & rows.series_with(after)
    return Fold(cutoff, np.flatnonzero(before & known), np.flatnonzero(tested))
