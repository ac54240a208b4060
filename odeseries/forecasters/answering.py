"""What every forecaster answers, whatever its quantiles and paths come from."""

from __future__ import annotations

import warnings
import zlib
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from odeseries.arguments import is_whole, probabilities
from odeseries.checkpoints import drawn_seed
from odeseries.errors import ConvergenceWarning, DataError
from odeseries.frames import (
    Queries,
    Schema,
    interval_output,
    point_output,
    quantile_output,
    read_frame,
    read_queries,
    sample_output,
)
from odeseries.frames.layout import ANONYMOUS, listed
from odeseries.interfaces import Forecaster
from odeseries.metrics import LEVELS, crps_from_quantiles
from odeseries.panel import Float64, Int64, Panel

__all__ = ["PATH_LEVELS", "Answering", "at_ranks", "generator_of"]

TAIL = np.array([1e-4, 3e-4, 1e-3, 2e-3, 5e-3])
PATH_LEVELS = np.concatenate([TAIL, LEVELS, 1 - TAIL[::-1]])
"""Levels of the quantiles between which paths are interpolated, far into both tails."""
LEAST_ERROR, LEAST_SIZE = 1e-12, 1e-300
"""Of a target's size, that it varies by; and of a size, so that nothing is divided by zero."""


class Answering(Forecaster):
    """The predict family, paths and scores, from quantiles and paths of a subclass.

    Attributes
    ----------
    schema_ : Schema
        Form of the fitted object.
    panel_ : Panel
        The training data, in clock units.
    horizon_ : float
        Horizon in clock units.
    climatology_ : ndarray of shape (n_targets, n_levels)
        Quantiles of the training values at `LEVELS`.
    seed_ : int
        Seed of the fit and of samples.
    """

    time_col: Hashable
    id_col: Hashable
    duplicates: str
    targets: Any
    schema_: Schema
    panel_: Panel
    horizon_: float
    climatology_: Float64
    seed_: int

    def _read(self, X: Any, y: Any) -> tuple[Panel, Schema]:
        """The data of a fit, checked, and their form."""
        panel, schema = read_frame(
            X,
            y,
            time_col=self.time_col,
            id_col=self.id_col,
            duplicates=self.duplicates,
            targets=self.targets,
        )
        _warn_of_single_values(panel)
        return panel, schema

    @abstractmethod
    def _quantiles(self, queries: Queries, panel: Panel, levels: Float64) -> Float64:
        """Quantiles (n_rows, n_targets, n_levels) in the data's own units."""

    @abstractmethod
    def _drawn(self, queries: Queries, panel: Panel, n_samples: int, seed: int) -> Float64:
        """Paths (n_samples, n_rows, n_targets) in the data's own units."""

    def predict(self, X: Any, history: Any = None) -> pd.Series | pd.DataFrame | Float64:
        """Median at any time: inside, before or after the history.

        Parameters
        ----------
        X : index, stamp, list of stamps, Series or DataFrame
            When; see `predict_quantiles`.
        history : Series, DataFrame or tuple (X, y), optional
            What may be seen instead of the training data.

        Returns
        -------
        Series, DataFrame or array
            One row per time, in the order asked; an array if the targets were given as one.
        """
        queries, panel = self._asked(X, history)
        values = self._checked(queries, panel, np.array([0.5]))
        return point_output(values[..., 0], queries, self.schema_)

    def predict_quantiles(
        self,
        X: Any,
        history: Any = None,
        alpha: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9),
    ) -> pd.DataFrame:
        """Quantiles at any time.

        Parameters
        ----------
        X : index, stamp, list of stamps, Series or DataFrame
            When: the index of a frame or Series is read, and the covariates of a frame. Bare
            times on a panel mean every series at every time. Covariates at earlier times drive
            the forecasts at the later ones of their series; one time asked with two values of a
            covariate is asked in two scenarios.
        history : Series, DataFrame or tuple (X, y), optional
            What may be seen instead of the training data; series of other names are welcome.
            Covariates are columns of the one frame, or of ``X``.
        alpha : float or sequence of float
            Probabilities in (0, 1).

        Returns
        -------
        DataFrame
            Columns (target, alpha).

        Raises
        ------
        DataError
            If the times are of another kind than the fitted ones, a series is unknown, or a
            covariate is not known at a time that is asked for.
        ValueError
            If a probability is not in (0, 1).
        """
        alphas = probabilities(alpha, "alpha")
        queries, panel = self._asked(X, history)
        values = self._checked(queries, panel, np.array(alphas))
        return quantile_output(values, alphas, queries, self.schema_)

    def predict_interval(
        self,
        X: Any,
        history: Any = None,
        coverage: float | Sequence[float] = 0.9,
    ) -> pd.DataFrame:
        """Central intervals at any time.

        Parameters
        ----------
        X, history
            As in `predict_quantiles`.
        coverage : float or sequence of float
            Probabilities in (0, 1) that the intervals should hold.

        Returns
        -------
        DataFrame
            Columns (target, coverage, "lower" or "upper").
        """
        coverages = probabilities(coverage, "coverage")
        share = np.array(coverages)
        queries, panel = self._asked(X, history)
        levels = np.concatenate([(1 - share) / 2, (1 + share) / 2])
        values = self._checked(queries, panel, levels)
        low, high = values[..., : len(share)], values[..., len(share) :]
        return interval_output(low, high, coverages, queries, self.schema_)

    def sample(
        self,
        X: Any,
        history: Any = None,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Joint paths: every path is one possible course through all times asked for.

        The marginals are those of `predict_quantiles`; the dependence in time and across
        targets is a Gaussian copula fitted on the errors of held-out forecasts, unless the
        model draws paths of its own. A series' paths depend on the seed and the series' id, not
        on the other series.

        Parameters
        ----------
        X, history
            As in `predict_quantiles`.
        n_samples : int
            Number of paths.
        random_state : int or RandomState, optional
            Seed; the one of the fit by default, so that the same request gives the same paths.

        Returns
        -------
        Series or DataFrame
            With an outer index level ``sample``.

        Raises
        ------
        DataError
            As `predict_quantiles`.
        ValueError
            If `n_samples` is no positive whole number, or `random_state` no seed.
        """
        if not is_whole(n_samples) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number, at least 1.")
        queries, panel = self._asked(X, history)
        seed = self.seed_ if random_state is None else _seed(random_state)
        paths = self._drawn(queries, panel, n_samples, seed)
        _warn_of_failures(paths, (0, 2), queries, panel)
        return sample_output(paths, queries, self.schema_)

    def score(self, X: Any, y: Any = None) -> float:
        """Skill of the forecasts against the training distribution: 1 perfect, 0 no better.

        The skill is ``1 - CRPS / CRPS of the climatology``, averaged over targets. A target whose
        values are all that of the training, which the climatology foretells without an error, has
        no part in it. Where all targets are such, the score is the mean of minus their CRPS over
        their size, between 0, without an error, and -1. Series that the model has not seen are
        scored on their last horizon, with what comes before as their history; other rows are
        forecast from the training data.

        Parameters
        ----------
        X, y
            As in `fit`.

        Returns
        -------
        float
        """
        truth, values = self.scored_quantiles(X, y)
        error = crps_from_quantiles(truth, values)
        plain = crps_from_quantiles(truth, np.broadcast_to(self.climatology_, values.shape))
        seen = np.isfinite(truth).any(0)
        size = np.nanmax(np.abs(truth[:, seen]), 0)
        return _skill(np.nanmean(error[:, seen], 0), np.nanmean(plain[:, seen], 0), size)

    def scored_quantiles(
        self, X: Any, y: Any = None, levels: Float64 = LEVELS
    ) -> tuple[Float64, Float64]:
        """Truth and quantiles of the rows that `score` judges, for scorers.

        Parameters
        ----------
        X, y
            As in `fit`.
        levels : ndarray of shape (n_levels,)
            Levels of the quantiles.

        Returns
        -------
        truth : ndarray of shape (n_rows, n_targets)
            NaN is "not observed".
        quantiles : ndarray of shape (n_rows, n_targets, n_levels)
        """
        check_is_fitted(self)
        panel, _ = read_frame(
            X,
            y,
            time_col=self.time_col,
            id_col=self.id_col,
            duplicates=self.duplicates,
            schema=self.schema_,
        )
        queries, history, truth = self._scored(panel)
        return truth, self._checked(queries, history, levels)

    def _scored(self, panel: Panel) -> tuple[Queries, Panel, Float64]:
        """Queries of the rows to be scored, the history for them, and the truth."""
        known = {name: i for i, name in enumerate(self.panel_.ids)}
        limits = panel.spans() - self.horizon_
        new = [i for i, name in enumerate(panel.ids) if name not in known]
        unseen = panel.select(new).before(limits[new])
        empty = [str(unseen.ids[k]) for k in range(len(new)) if np.diff(unseen.offsets)[k] == 0]
        if empty:
            raise DataError(
                f"Series {', '.join(empty[:5])} are no longer than the horizon, so that nothing "
                "is left as their history: score longer series."
            )
        history = self.panel_.joined(unseen)
        position = {name: i for i, name in enumerate(history.ids)}
        series, times, truth, rows = [], [], [], []
        for i, name in enumerate(panel.ids):
            t, v = panel.series(i)
            chosen = t > limits[i] if name not in known else np.ones(len(t), dtype=bool)
            shift = panel.origins[i] - history.origins[position[name]]
            series.append(np.full(int(chosen.sum()), position[name]))
            times.append(t[chosen] + shift)
            truth.append(v[chosen, : panel.n_targets])
            rows.append((np.full(int(chosen.sum()), i), t[chosen]))
        flat = np.concatenate(series).astype(np.int64)
        inputs = np.zeros((len(flat), 0))
        if panel.inputs is not None:
            owner, at = (np.concatenate(part) for part in zip(*rows, strict=True))
            inputs = panel.inputs.at(owner, at)
            self._require_inputs(inputs, owner, panel)
        queries = Queries(flat, np.concatenate(times), inputs, pd.RangeIndex(len(flat)), None)
        return queries, history, np.concatenate(truth)

    def _require_inputs(self, inputs: Float64, owner: Int64, panel: Panel) -> None:
        """Refuse to score where a covariate is unknown, as it is refused to forecast there."""
        unknown = np.isnan(inputs)
        if unknown.any():
            row, column = np.argwhere(unknown)[0]
            raise DataError(
                f"The covariate {self.schema_.inputs[column]!r} is not known at "
                f"{unknown[:, column].sum()} of {len(inputs)} times to be scored, the first of "
                f"them in series {panel.ids[owner[row]]}: fill it in, or leave out these rows."
            )

    def _asked(self, X: Any, history: Any) -> tuple[Queries, Panel]:
        """Queries and the panel that may be seen."""
        check_is_fitted(self)
        panel = self.panel_
        if history is not None:
            given = history if isinstance(history, tuple) else (history, None)
            if len(given) != 2:
                raise DataError(
                    f"history is a tuple of {len(given)}: give the data as one object, or (X, y)."
                )
            panel, _ = read_frame(
                *given,
                time_col=self.schema_.time_col,
                id_col=self.schema_.id_col,
                duplicates=self.duplicates,
                schema=self.schema_,
            )
        return read_queries(X, self.schema_, panel), panel

    def _checked(self, queries: Queries, panel: Panel, levels: Float64) -> Float64:
        """Quantiles, with a warning where there are none."""
        values = self._quantiles(queries, panel, levels)
        _warn_of_failures(values, (1, 2), queries, panel)
        return values


def _warn_of_single_values(panel: Panel) -> None:
    """Say which targets nothing tells the spread of."""
    counts = np.isfinite(panel.values[:, : panel.n_targets]).sum(0)
    single = [panel.channels[k] for k in np.flatnonzero(counts == 1)]
    if single:
        warnings.warn(
            f"One value alone was observed of the target {listed(single)}, which does not tell how "
            "it varies: its intervals have no width. Give more observations, or more series.",
            stacklevel=4,
        )


def _skill(error: Float64, plain: Float64, size: Float64) -> float:
    """Mean skill of targets by their CRPS, that of the climatology, and their largest value."""
    varies = plain > LEAST_ERROR * size
    if varies.any():
        return float((1 - error[varies] / plain[varies]).mean())
    return -float((error / np.maximum(np.maximum(error, size), LEAST_SIZE)).mean())


def _warn_of_failures(
    values: Float64, axes: tuple[int, int], queries: Queries, panel: Panel
) -> None:
    """Say for which series there is no forecast; ``axes`` are all but that of the rows."""
    bad = np.flatnonzero(~np.isfinite(values).all(axes))
    if len(bad):
        names = list(dict.fromkeys(panel.ids[i] for i in queries.series[bad]))
        of = "" if names == [ANONYMOUS] else f" of the series {listed(names)}"
        warnings.warn(
            f"The dynamics could not be integrated to {len(bad)} of {len(queries.times)} rows{of}: "
            "they are NaN. Ask for nearer times, or fit with a smaller learning_rate or another "
            "solver.",
            ConvergenceWarning,
            stacklevel=4,
        )


def _seed(given: int | np.random.RandomState) -> int:
    """A seed, checked, or drawn from a generator."""
    if isinstance(given, np.random.RandomState):
        return drawn_seed(given)
    if not is_whole(given) or given < 0:
        raise ValueError(
            f"random_state={given!r} must be a whole number, at least 0, a numpy RandomState, or "
            "None for the seed of the fit."
        )
    return int(given)


def generator_of(seed: int, series: Hashable, stream: int = 0) -> np.random.Generator:
    """Randomness of a series by its id, the same whatever series are asked for beside it."""
    return np.random.default_rng([seed, zlib.crc32(repr(series).encode()), stream])


def at_ranks(quantiles: Float64, ranks: Float64) -> Float64:
    """Values at ranks (n_samples, n_rows, n_targets) of quantiles at `PATH_LEVELS`."""
    out = np.empty_like(ranks)
    for i in range(quantiles.shape[0]):
        for c in range(quantiles.shape[1]):
            out[:, i, c] = np.interp(ranks[:, i, c], PATH_LEVELS, quantiles[i, c])
    return out
