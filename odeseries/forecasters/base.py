"""What every forecaster shares: fitting, the predict family and scoring."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import field, replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from odeseries.checkpoints import begun, determining
from odeseries.control import LIMITS, Budget, Callback, Control, Limit, as_callbacks
from odeseries.copula import Copula
from odeseries.devices import find_device
from odeseries.fitting import fit
from odeseries.forecasters.answering import PATH_LEVELS, Answering, at_ranks, generator_of
from odeseries.forecasters.parts import N_HARMONICS
from odeseries.frames import (
    Queries,
    Schema,
)
from odeseries.frames.queries import read_cutoffs
from odeseries.learnt import Learnt
from odeseries.metrics import LEVELS
from odeseries.model import Model
from odeseries.panel import Float64, Int64, Panel
from odeseries.parameters import Declared
from odeseries.persistence import save
from odeseries.plotting import plot_history
from odeseries.recipe import Fitted, Recipe, Spec
from odeseries.resolution import warn_of_lost_digits
from odeseries.sampling import query_windows
from odeseries.scaling import ROUND
from odeseries.scenarios import scenarios
from odeseries.solvers import row_seeds
from odeseries.training import one_thread
from odeseries.windows import Batch, Windows

__all__ = ["BaseForecaster"]

DEFAULT_HORIZON = 0.1
PREDICT_WINDOWS = 256
PREDICT_QUERIES = 64
TRAINED_QUERIES = 24

Answer = Callable[[Batch, Windows], tuple[Tensor, Tensor]]
"""Values (batch, n_queries, channels, n + 1) of windows, the last the median, and ages."""


class BaseForecaster(Declared, Answering, BaseEstimator):
    """Fitting, forecasting and scoring around a network that a subclass builds.

    A subclass implements ``build`` and declares the parameters that it adds, as annotated
    attributes with defaults (``hidden: int = 64``); ``__init__`` is made from all of them.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    n_rows : int, default=48
        Rows that are read on each side of a query.
    n_lags : int, default=8
        Lagged values per channel.
    seasonality : "auto", None or list of periods, default="auto"
        Periods of which the network sees the phase. "auto" keeps those that foretell.
    cutoffs : stamp or list of stamps, optional
        Where forecasts will be made from, such as the end of the first day of every stay of a
        panel: training asks for the horizon after these times alone, of every series that goes
        on there. Without them it asks from everywhere, also for values before and between
        observations, which takes longer and answers more.
    encoder_periods, thinning, input_noise, n_queries
        What is read and asked in training; see `LatentODEForecaster`.
    max_epochs, batch_size, learning_rate, weight_decay, patience
        Training; ``patience`` counts epochs without a better held-out loss, at most ``max_epochs``.
    validation_fraction : float, default=0.2
        Share held out at the end of the series, or of the series of a large panel, to choose the
        length of the training and the widths of intervals; 0 trains for ``n_steps``.
    n_steps : int, optional
        Length of the training where nothing is held out, by default 100; it is refused where
        ``validation_fraction`` has the length chosen. ``max_time`` may shorten it.
    n_members : int, default=1
        Networks that are trained on all data, each from other weights; the forecast's quantiles
        are the mean of theirs.
    targets : label or list of labels, optional
        Columns to be forecast; the other ones are seen, but not known ahead and never forecast.
    target_transformer : scikit-learn transformer, optional
        Monotone and invertible, such as ``FunctionTransformer(np.log1p, np.expm1)``; fitted on
        the observed values of each target, inverted on quantiles and samples.
    duplicates : {"error", "mean", "last"}, default="error"
        What becomes of conflicting values at one time.
    time_col, id_col : hashable, optional
        Columns of a long frame.
    device : str, default="auto"
        "cpu", "cuda" or "auto".
    random_state : int, RandomState or None
        Seed; global generators are not touched.
    verbose : bool, default=False
        Whether to show progress.
    max_time : float, str or timedelta, optional
        Most time that a fit takes: seconds, or a length such as "10min". Where it is short, the
        choice of the length of the training ends in time to train as long again on all data.
    callbacks : callable or list of callables, optional
        Called after every epoch with a read-only mapping, the epoch's row of ``history_``. One
        that returns something true ends the phase (the choice of the length, then the training
        on all data); one that raises ``KeyboardInterrupt`` ends the fit like Ctrl-C, which keeps
        the best weights so far.
    checkpoint_dir : path, optional
        Where progress is kept after every epoch, so that the same fit goes on after its process
        was killed or interrupted; deleted at the end. Fits of other data or parameters may share
        the folder.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: phase, losses, steps skipped because their loss was not finite, seconds.
    periods_ : list of float
        Periods in clock units (seconds for dates).
    horizon_ : float
        Horizon in clock units.
    n_steps_ : int
        Steps that the held-out forecasts, or ``n_steps``, asked for.

    Examples
    --------
    A forecaster that always answers with the distribution of the standardised values:

    >>> import numpy as np, pandas as pd, torch, odeseries as ode
    >>> class Climate(ode.Model):
    ...     def __init__(self, spread):
    ...         super().__init__()
    ...         self.log_spread = torch.nn.Parameter(torch.tensor(spread).log())
    ...     def start(self, batches):
    ...         pass
    ...     def loss(self, batch, generator):
    ...         z = batch.targets / self.log_spread.exp()
    ...         return ((z**2 / 2 + self.log_spread) * batch.observed).mean((1, 2))
    ...     def quantiles(self, batch, levels):
    ...         z = torch.special.ndtri(levels).float() * self.log_spread.exp()
    ...         return z.expand(*batch.targets.shape, -1), torch.ones_like(batch.targets)
    >>> class ClimateForecaster(ode.BaseForecaster):
    ...     spread: float = 1.0
    ...     def build(self, spec):
    ...         return Climate(self.spread)
    >>> y = pd.Series(np.sin(np.arange(50.0)))
    >>> model = ClimateForecaster(5.0, spread=0.5, max_epochs=1, random_state=0).fit(y)
    >>> bool(abs(model.predict([51.5]).iloc[0]) < 0.2)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_rows": [Interval(Integral, 1, None, closed="left")],
        "n_lags": [Interval(Integral, 1, None, closed="left")],
        "encoder_periods": ["array-like", None],
        "thinning": [Interval(Real, 0, 1, closed="left")],
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "n_queries": [Interval(Integral, 1, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left"), None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "duplicates": [StrOptions({"error", "mean", "last"})],
        "target_transformer": [HasMethods(["fit", "transform", "inverse_transform"]), None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
        "max_time": LIMITS,
        "callbacks": [callable, list, tuple, None],
        "checkpoint_dir": [str, os.PathLike, None],
    }

    horizon: Any = field(default=None, kw_only=False)
    n_rows: int = 48
    n_lags: int = 8
    seasonality: str | Sequence[Any] | None = "auto"
    cutoffs: Any = None
    encoder_periods: Sequence[Any] | None = None
    thinning: float = 0.0
    input_noise: float = 0.1
    n_queries: int | None = None
    max_epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 1.0
    patience: int = 10
    validation_fraction: float = 0.2
    n_steps: int | None = None
    n_members: int = 1
    targets: Any = None
    target_transformer: Any = None
    duplicates: str = "error"
    time_col: Hashable = None
    id_col: Hashable = None
    device: str = "auto"
    random_state: Any = None
    verbose: bool = False
    max_time: Limit | None = None
    callbacks: Callback | Sequence[Callback] | None = None
    checkpoint_dir: str | os.PathLike[str] | None = None

    @abstractmethod
    def build(self, spec: Spec) -> Model:
        """Make an untrained network.

        Parameters
        ----------
        spec : Spec
            Channels, known inputs, periods and series.

        Returns
        -------
        Model
        """

    def fit(self, X: Any, y: Any = None) -> Self:  # scikit-learn's names
        """Learn from irregular series.

        Parameters
        ----------
        X : Series or DataFrame
            One series with an index of dates or numbers, a panel with a two-level index
            (id, time), or a long frame (``time_col``, ``id_col``), also of polars. NaN is "not
            observed". Every column is forecast, unless there are ``targets`` or a ``y``.
        y : Series, DataFrame or array, optional
            The targets, row-aligned with ``X``, whose columns are then covariates that will be
            known wherever a forecast is asked for. A covariate that is missing at a row of the
            training data is interpolated in time.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the data can't be used; the message names series, column and position.
        InvalidParameterError
            If a parameter is not of its type or out of its range.

        Warns
        -----
        UserWarning
            If one value alone was observed of a target, so that its intervals have no width, or
            the model's units can't tell times or values apart.
        """
        self._validate_params()
        budget, callbacks = Budget(self.max_time), as_callbacks(self.callbacks)
        panel, schema = self._read(X, y)
        recipe = self._recipe(panel, schema)
        seed, store = begun(self, lambda: [replace(recipe, verbose=False), panel])
        with one_thread():
            fitted = fit(panel, recipe, self.build, seed, Control(budget, callbacks, store))
            self._conclude(schema, panel, recipe, fitted, seed)
        if store is not None and not fitted.interrupted:
            store.remove()
        return self

    def _conclude(
        self, schema: Schema, panel: Panel, recipe: Recipe, fitted: Fitted, seed: int
    ) -> None:
        """Be ready to answer."""
        parameters = copy.deepcopy(determining(self))
        self._adopt(Learnt(schema, panel, recipe, fitted, seed, parameters))

    def _adopt(self, learnt: Learnt) -> Self:
        """Answer from what was learnt, here or before saving."""
        self._learnt = learnt
        fitted, panel, recipe = learnt.fitted, learnt.panel, learnt.recipe
        self.copula_ = fitted.copula or Copula.unknown(panel.n_targets)
        self.schema_, self.seed_ = learnt.schema, learnt.seed
        self.panel_, self._recipe_, self._fitted = panel, recipe, fitted
        self.horizon_ = recipe.horizon
        self.periods_ = [p * recipe.horizon for p in fitted.spec.periods]
        self.history_ = pd.DataFrame(fitted.records)
        self.n_steps_ = fitted.best_steps
        self.climatology_ = np.nanquantile(panel.values[:, : panel.n_targets], LEVELS, axis=0).T
        features = learnt.schema.inputs or panel.channels
        self.feature_names_in_ = np.array([str(c) for c in features], dtype=object)
        self.n_features_in_ = len(features)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forecaster, to be read by `odeseries.load`.

        Parameters
        ----------
        path : path
            A folder, or a file whose name ends in ``.zip``; what was saved there is replaced.
            It holds the parameters and the training data as JSON and the weights as tensors;
            nothing in it is code. Callbacks are left out.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        PersistenceError
            If a parameter can't be written; it is named.
        PluginError
            If the forecaster's class is not registered.
        """
        check_is_fitted(self)
        save(self, self._learnt, path)

    def plot_history(self, ax: Any = None) -> Any:
        """Draw the losses of the fit, with matplotlib; see `odeseries.plotting.plot_history`."""
        return plot_history(self, ax)

    def _drawn(self, queries: Queries, panel: Panel, n_samples: int, seed: int) -> Float64:
        """Paths of the network's own, or of the quantiles where it has none."""
        draw = self._paths if self._fitted.net.has_paths else self._ranked_paths
        return draw(queries, panel, n_samples, seed)

    def _ranked_paths(self, queries: Queries, panel: Panel, n_samples: int, seed: int) -> Float64:
        """Paths (n_samples, n_rows, n_targets) of the quantiles, joined by the copula."""
        values = self._quantiles(queries, panel, PATH_LEVELS)
        paths = np.empty((n_samples, *values.shape[:2]))
        for i in np.unique(queries.series):
            rows = np.flatnonzero(queries.series == i)
            rng = generator_of(seed, panel.ids[i])
            times = queries.times[rows] / self.horizon_
            ranks = self.copula_.ranks(times, n_samples, rng)
            paths[:, rows] = at_ranks(values[rows], ranks)
        return paths

    def _paths(self, queries: Queries, panel: Panel, n_samples: int, seed: int) -> Float64:
        """Paths (n_samples, n_rows, n_targets) of the network's own."""

        def drawn(batch: Batch, windows: Windows) -> tuple[Tensor, Tensor]:
            start = panel.offsets[windows.series]
            places = zip(windows.series.tolist(), (windows.left - start).tolist(), strict=True)
            keys = row_seeds(seed, [(panel.ids[i], at) for i, at in places])
            found = self._fitted.paths(batch, keys.to(batch.asked.device), n_samples)
            median, ages = self._fitted.quantiles(batch, self._levels([0.5]))
            return torch.cat([found, median], -1), ages

        out = self._original(self._answers(queries, panel, n_samples, drawn), queries, panel)
        return np.moveaxis(out, -1, 0)

    def _recipe(self, panel: Panel, schema: Schema) -> Recipe:
        """Checked parameters of the fit."""
        span = float(panel.spans().max())
        if self.horizon is not None:
            horizon = schema.clock.duration(self.horizon, name="horizon")
        else:
            horizon = DEFAULT_HORIZON * span if span > 0 else 1.0
        seasonality = self.seasonality
        if seasonality is not None and pd.api.types.is_list_like(seasonality):
            seasonality = [schema.clock.duration(p, name="seasonality") for p in seasonality]
        elif seasonality not in (None, "auto"):
            raise ValueError(
                f"seasonality={seasonality!r}: give 'auto', None or a list of periods."
            )
        return Recipe(
            horizon=horizon,
            seasonality=seasonality,
            calendar=schema.clock.kind == "datetime",
            n_rows=self.n_rows,
            n_lags=self.n_lags,
            n_harmonics=N_HARMONICS,
            n_queries=self.n_queries
            or (TRAINED_QUERIES if self.cutoffs is None else PREDICT_QUERIES),
            interpolation=0.25,
            backcast=0.05,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            validation_fraction=self.validation_fraction,
            n_steps=self.n_steps,
            input_noise=self.input_noise,
            device=find_device(self.device),
            verbose=self.verbose,
            transformer=self.target_transformer,
            n_members=self.n_members,
            cutoffs=None if self.cutoffs is None else read_cutoffs(self.cutoffs, schema),
            encoder_periods=self._encoder_periods(schema),
            thinning=self.thinning,
        )

    def _encoder_periods(self, schema: Schema) -> tuple[float, ...]:
        """Periods of the waves that encoders read, in clock units."""
        given = () if self.encoder_periods is None else self.encoder_periods
        return tuple(schema.clock.duration(p, name="encoder_periods") for p in given)

    def _quantiles(self, queries: Queries, panel: Panel, levels: Float64) -> Float64:
        """Quantiles (n_rows, n_targets, n_levels) in the data's own units."""
        transform = self._fitted.scaling.transform
        if transform is None or not transform.decreasing.any():
            out = self._standard_quantiles(queries, panel, levels)
        else:
            rising = ~transform.decreasing[:, None]
            both = self._standard_quantiles(queries, panel, np.concatenate([levels, 1 - levels]))
            out = np.where(rising, both[..., : len(levels)], both[..., len(levels) :])
        return self._original(out, queries, panel)

    def _original(self, values: Float64, queries: Queries, panel: Panel) -> Float64:
        """Values (n_rows, n_targets, n) in the data's own units."""
        scaling = self._fitted.scaling
        sizes = scaling.sizes(panel)
        return scaling.original(values, None if sizes is None else sizes[queries.series])

    def _standard_quantiles(self, queries: Queries, panel: Panel, levels: Float64) -> Float64:
        """Quantiles (n_rows, n_targets, n_levels) in standardised units."""
        asked = np.append(levels, 0.5)

        def quantiles(batch: Batch, windows: Windows) -> tuple[Tensor, Tensor]:
            del windows
            return self._fitted.quantiles(batch, self._levels(asked))

        return self._answers(queries, panel, len(levels), quantiles)

    def _levels(self, levels: Sequence[float] | Float64) -> Tensor:
        """Levels as a network takes them."""
        return torch.tensor(levels, dtype=torch.float64, device=self._recipe_.device)

    def _answers(self, queries: Queries, panel: Panel, n: int, answer: Answer) -> Float64:
        """Answers (n_rows, n_targets, n) in standardised units."""
        if panel is not self.panel_:
            warn_of_lost_digits(panel, self._fitted.scaling)
        series, times, inputs = queries.series, queries.times, queries.inputs
        out = np.empty((len(times), panel.n_targets, n))
        for rows, known in scenarios(panel, series, times, inputs):
            asked = series[rows], times[rows], inputs[rows]
            out[rows] = self._scenario(known, *asked, answer, n, PREDICT_QUERIES)
            # A path that can't be followed to a far query says nothing of the nearer ones.
            companions = np.bincount(series[rows], minlength=len(panel))[series[rows]] > 1
            lost = rows[np.isnan(out[rows]).any((1, 2)) & companions]
            if len(lost):
                alone = series[lost], times[lost], inputs[lost]
                out[lost] = self._scenario(known, *alone, answer, n, 1)
        return out

    @torch.no_grad()
    def _scenario(
        self,
        panel: Panel,
        series: Int64,
        stamps: Float64,
        inputs: Float64,
        answer: Answer,
        n: int,
        n_queries: int,
    ) -> Float64:
        """Answers for rows whose inputs belong together, in standardised units.

        Most ``n_queries`` of them are asked for in one window.
        """
        fitted, recipe = self._fitted, self._recipe_
        loader = fitted.loader(panel, recipe, inputs)
        times = np.round(stamps / recipe.horizon, ROUND)
        windows, order = query_windows(loader.panel, series, times, n_queries)
        out = np.empty((len(times), panel.n_targets, n))
        done = 0
        for start in range(0, len(windows), PREDICT_WINDOWS):
            chosen = windows.take(np.arange(start, min(start + PREDICT_WINDOWS, len(windows))))
            batch = loader.batch(chosen).to(recipe.device)
            with one_thread():
                found = answer(batch, chosen)
            wide = fitted.widths.answers(*found, batch)
            out[order[done : done + len(wide)]] = wide[:, : panel.n_targets]
            done += len(wide)
        return out
