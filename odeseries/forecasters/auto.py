"""A forecaster that picks among forecasters."""

from __future__ import annotations

import datetime as dt
import math
import os
import time
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from odeseries import plugins
from odeseries.control import Budget, Control
from odeseries.errors import ConvergenceWarning, OdeSeriesError
from odeseries.fitting import Recipe, Searched, refit, search
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.baseline import BaselineForecaster
from odeseries.forecasters.latent_ode import LatentODEForecaster
from odeseries.forecasters.ode_rnn import ODERNNForecaster
from odeseries.frames import Schema
from odeseries.interfaces import Forecaster
from odeseries.metrics import LEVELS
from odeseries.panel import Float64, Panel
from odeseries.parameters import Declared
from odeseries.training import one_thread

__all__ = ["AutoForecaster"]

SHARED = ("horizon", "targets", "target_transformer", "duplicates", "time_col", "id_col", "device")
"""Parameters that concern the data and are passed on to every candidate."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """What a candidate came to on the held-out part."""

    forecaster: BaseForecaster
    score: float
    seconds: float
    failure: str = ""
    found: Searched | None = None
    rng: np.random.Generator | None = None


class AutoForecaster(Declared, Forecaster, BaseEstimator):
    """Tries several forecasters on a held-out part, and fits the best one on everything.

    All candidates forecast the same held-out values, after the rest of their series or in series
    of their own, from nothing but what came before. Their CRPS decides, relative to that of the
    distribution of the training values. Candidates are listed from the simplest on, and a later
    one is only picked over an earlier one if it is better by ``margin``: the last value, the
    mean, the training distribution and a regression on lags are among them, so that what is
    learned is used where it is worth something.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    candidates : mapping of str to forecaster, or sequence of names and forecasters, optional
        Unfitted forecasters, or names such as ``"latent_ode"``, the simplest first. By default
        four simple methods, then latent ODEs with linear and with learned nonlinear dynamics,
        and an ODE-RNN. `horizon` and the parameters below are passed on to each.
    margin : float, default=0.02
        Share by which a later candidate has to be better.
    targets, target_transformer, duplicates, time_col, id_col, device, random_state
        As in `LatentODEForecaster`.
    verbose : bool, default=False
        Whether to print the score of every candidate.
    max_time : float, str or timedelta, optional
        Most time that the fit takes, shared evenly by the candidates and the final fit.

    Attributes
    ----------
    best_ : BaseForecaster
        The one that was picked, fitted on everything; what is asked of this forecaster is
        answered by it.
    best_name_ : str
        Its name.
    leaderboard_ : DataFrame
        One row a candidate: held-out score (1 is that of the training distribution, smaller is
        better), seconds, why it failed if it did, and whether it was picked.
    reason_ : str
        Why it was picked, in a sentence.

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> y = pd.Series(np.random.default_rng(0).normal(size=60).cumsum())
    >>> simple = [ode.BaselineForecaster(method=m) for m in ("climatology", "last")]
    >>> auto = ode.AutoForecaster(3.0, candidates=simple, random_state=0).fit(y)
    >>> auto.best_name_
    'baseline (last)'
    >>> auto.predict([60.5]).shape
    (1,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "candidates": [Mapping, list, tuple, None],
        "margin": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    horizon: Any = field(default=None, kw_only=False)
    candidates: Mapping[str, BaseForecaster] | Sequence[str | BaseForecaster] | None = None
    margin: float = 0.02
    targets: Any = None
    target_transformer: Any = None
    duplicates: str = "error"
    time_col: Hashable = None
    id_col: Hashable = None
    device: str = "auto"
    random_state: Any = None
    verbose: bool = False
    max_time: float | str | dt.timedelta | None = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Try the candidates and fit the best.

        Parameters
        ----------
        X, y
            As in `LatentODEForecaster`.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the data can't be used; the message names series, column and position.
        OdeSeriesError
            If every candidate failed.

        Warns
        -----
        ConvergenceWarning
            If nothing could be held out; the first candidate is fitted then.
        """
        self._validate_params()
        budget = Budget(self.max_time)
        entrants = self._entrants()
        panel, schema = next(iter(entrants.values()))._read(X, y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with one_thread():
            trials = self._trials(entrants, panel, schema, seed, budget)
            self.best_name_ = self._picked(trials)
            self.best_ = trials[self.best_name_].forecaster
            self._complete(trials[self.best_name_], panel, schema, seed, budget)
        self.leaderboard_ = _leaderboard(trials, self.best_name_)
        self.reason_ = self._explained(trials)
        self.horizon_, self.history_ = self.best_.horizon_, self.best_.history_
        self.n_features_in_ = self.best_.n_features_in_
        self.feature_names_in_ = self.best_.feature_names_in_
        if self.verbose:
            print(self.leaderboard_.to_string(float_format="%.3f"), self.reason_, sep="\n")
        return self

    def predict(self, X: Any, history: Any = None) -> pd.Series | pd.DataFrame | Float64:
        """Median at any time; see `LatentODEForecaster.predict`."""
        return self._answering().predict(X, history)

    def predict_quantiles(
        self, X: Any, history: Any = None, alpha: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9)
    ) -> pd.DataFrame:
        """Quantiles at any time; see `LatentODEForecaster.predict_quantiles`."""
        return self._answering().predict_quantiles(X, history, alpha)

    def predict_interval(
        self, X: Any, history: Any = None, coverage: float | Sequence[float] = 0.9
    ) -> pd.DataFrame:
        """Central intervals at any time; see `LatentODEForecaster.predict_interval`."""
        return self._answering().predict_interval(X, history, coverage)

    def sample(
        self,
        X: Any,
        history: Any = None,
        n_samples: int = 100,
        random_state: int | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Joint paths; see `LatentODEForecaster.sample`."""
        return self._answering().sample(X, history, n_samples, random_state)

    def score(self, X: Any, y: Any = None) -> float:
        """Skill against the training distribution; see `LatentODEForecaster.score`."""
        return self._answering().score(X, y)

    def scored_quantiles(
        self, X: Any, y: Any = None, levels: Float64 = LEVELS
    ) -> tuple[Float64, Float64]:
        """Truth and quantiles of the rows that `score` judges, for scorers."""
        return self._answering().scored_quantiles(X, y, levels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the forecaster that was picked; `odeseries.load` reads it as what it is."""
        self._answering().save(path)

    def _answering(self) -> BaseForecaster:
        """The fitted forecaster."""
        check_is_fitted(self)
        return self.best_

    def _entrants(self) -> dict[str, BaseForecaster]:
        """Copies of the candidates by name, with the parameters that all share."""
        given = _defaults() if self.candidates is None else self.candidates
        if isinstance(given, Mapping):
            named = {name: clone(one) for name, one in given.items()}
        else:
            made = [plugins.get("forecaster", c)() if isinstance(c, str) else c for c in given]
            named = {_name(one): clone(one) for one in made}
        if not named:
            raise ValueError("candidates is empty: name at least one forecaster.")
        if len(named) < len(given):
            raise ValueError("Some candidates have the same name: give a mapping of names to them.")
        shared = {name: getattr(self, name) for name in SHARED}
        for one in named.values():
            one.set_params(**shared)
            one._validate_params()
        return named

    def _trials(
        self,
        entrants: dict[str, BaseForecaster],
        panel: Panel,
        schema: Schema,
        seed: int,
        budget: Budget,
    ) -> dict[str, _Trial]:
        """Let every candidate forecast the held-out part, as far as there is time."""
        trials: dict[str, _Trial] = {}
        for i, (name, forecaster) in enumerate(entrants.items()):
            allowed = budget.left() / (len(entrants) - i + 1)
            if i and allowed <= 0:
                trials[name] = _Trial(forecaster, math.inf, 0.0, "max_time was over")
                continue
            limit = Budget(None if math.isinf(allowed) else max(allowed, 1e-3))
            trials[name] = _tried(forecaster, panel, schema, seed, Control(limit))
        return trials

    def _picked(self, trials: dict[str, _Trial]) -> str:
        """The first candidate that no later one beats by the margin."""
        judged = {name: t for name, t in trials.items() if math.isfinite(t.score)}
        if not judged:
            return _unjudged(trials)
        best, *rest = judged
        for name in rest:
            if judged[name].score < judged[best].score * (1 - self.margin):
                best = name
        return best

    def _complete(
        self, trial: _Trial, panel: Panel, schema: Schema, seed: int, budget: Budget
    ) -> None:
        """Fit the picked candidate on everything."""
        forecaster = trial.forecaster
        recipe = forecaster._recipe(panel, schema)
        left = budget.left()
        control = Control(Budget(None if math.isinf(left) else max(left, 1e-3)))
        rng = trial.rng or np.random.default_rng(seed)
        fitted = refit(panel, recipe, forecaster.build, seed, rng, control, trial.found)
        forecaster._conclude(schema, panel, recipe, fitted, seed)

    def _explained(self, trials: dict[str, _Trial]) -> str:
        """Why the picked candidate was picked."""
        name = self.best_name_
        score = trials[name].score
        others = {n: t.score for n, t in trials.items() if n != name and math.isfinite(t.score)}
        if not math.isfinite(score):
            return f"{name}: nothing could be held out to compare the candidates."
        text = f"{name}: held-out CRPS {score:.3f} of that of the training distribution"
        if not others:
            return text + "."
        second = min(others, key=lambda n: others[n])
        text += f"; {'the best other' if others[second] >= score else 'within the margin of'} "
        return text + f"{second}: {others[second]:.3f}."


def _defaults() -> list[BaseForecaster]:
    """The simplest first."""
    simple = [BaselineForecaster(method=m) for m in ("climatology", "last", "mean", "lags")]
    return [
        *simple,
        LatentODEForecaster(),
        LatentODEForecaster(dynamics="mlp"),
        ODERNNForecaster(),
    ]


def _name(forecaster: BaseForecaster) -> str:
    """Name of a forecaster, with what tells it from others of its class."""
    changed = {
        name: value
        for name, value in forecaster.get_params(deep=False).items()
        if name in ("method", "dynamics", "encoder", "head")
    }
    told = ", ".join(str(v) if isinstance(v, str) else v.__name__ for v in changed.values())
    name = plugins.qualified_name(type(forecaster))
    return f"{name} ({told})" if told else name


def _tried(
    forecaster: BaseForecaster, panel: Panel, schema: Schema, seed: int, control: Control
) -> _Trial:
    """One candidate's forecasts of the held-out part."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    recipe: Recipe = forecaster._recipe(panel, schema)
    try:
        found = search(panel, recipe, forecaster.build, seed, rng, control)
    except OdeSeriesError as error:
        return _Trial(forecaster, math.inf, time.perf_counter() - started, str(error))
    score = math.inf if found is None else found.score
    score = score if math.isfinite(score) else math.inf
    return _Trial(forecaster, score, time.perf_counter() - started, "", found, rng)


def _unjudged(trials: dict[str, _Trial]) -> str:
    """The first candidate that did not fail, where none has a score."""
    sound = [name for name, trial in trials.items() if not trial.failure]
    if not sound:
        reasons = "; ".join(f"{name}: {trial.failure}" for name, trial in trials.items())
        raise OdeSeriesError(f"Every candidate failed. {reasons}")
    warnings.warn(
        f"Nothing could be held out to compare the candidates: {sound[0]} is used. Give longer "
        "series, or a shorter horizon.",
        ConvergenceWarning,
        stacklevel=4,
    )
    return sound[0]


def _leaderboard(trials: dict[str, _Trial], best: str) -> pd.DataFrame:
    """One row a candidate, as they were given."""
    rows = {
        name: {
            "score": trial.score if math.isfinite(trial.score) else math.nan,
            "seconds": trial.seconds,
            "failure": trial.failure,
            "picked": name == best,
        }
        for name, trial in trials.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("candidate")
