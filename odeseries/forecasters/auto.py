"""A forecaster that combines forecasters."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import field
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from odeseries import plugins
from odeseries.checkpoints import drawn_seed
from odeseries.combining import Judged, Standing, averaged, combined, mean_score
from odeseries.control import LIMITS, Budget, Limit
from odeseries.forecasters.answering import PATH_LEVELS, Answering, at_ranks, generator_of
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.baseline import BaselineForecaster
from odeseries.forecasters.baseline_network import REGRESSED
from odeseries.forecasters.forest import ForestForecaster
from odeseries.forecasters.latent_ode import LatentODEForecaster
from odeseries.forecasters.linear_sde import LinearSDEForecaster
from odeseries.forecasters.trials import (
    Trial,
    completed,
    explained,
    leaderboard,
    tried,
    unjudged,
)
from odeseries.frames import Queries
from odeseries.panel import Float64, Panel
from odeseries.parameters import Declared
from odeseries.persistence import save_combination
from odeseries.training import one_thread

__all__ = ["AutoForecaster"]

FEWEST_RANKED = 100
"""Paths that are put in order at least, so that few ones are not all near the median."""

MOST_APART = 8
"""Targets up to which a forecaster that takes each by itself is among the candidates."""

SHARED = (
    "horizon",
    "cutoffs",
    "targets",
    "target_transformer",
    "duplicates",
    "time_col",
    "id_col",
    "device",
)
"""Parameters that concern the data and are passed on to every candidate."""


class AutoForecaster(Declared, Answering, BaseEstimator):
    """Tries several forecasters on a held-out part, and averages the best ones, fitted on all.

    All candidates forecast the same held-out values, after the rest of their series or in series
    of their own, from nothing but what came before. Their CRPS decides, relative to that of the
    distribution of the training values. All but those with twice the best score are averaged, with
    weights that fall with the square of their scores, unless their mean is worse than the best
    one alone, when the worst ones are left out. Where few values are held out, the mean may be
    worse by two standard errors before one is left out, and the last value, the mean and the
    training distribution take part only if they are better by more than that. A regression on lags
    takes part up to 1.3 times the best score; a `LinearSDEForecaster`, whose fit uses nothing of
    what is held out, has twice the weight. The simple methods and random trees are among the
    candidates, so that learned dynamics are used where they are worth something.

    What is forecast is the weighted mean of the members' quantiles. Paths have these marginals,
    and the heaviest member's dependence in time and across targets: at every time they are put in
    the order of its paths. Where some of these are equal, as at nights without sun, lots are drawn,
    one for each path.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    candidates : mapping of str to forecaster, or sequence of names and forecasters, optional
        Unfitted forecasters, their classes, or names such as ``"latent_ode"``, the simplest first.
        By default four simple methods, forests of random trees, for up to eight targets a linear
        stochastic differential equation, then latent ODEs with linear and with learned nonlinear
        dynamics. `horizon` and the parameters below are passed on to each. All must have the same
        ``n_queries`` and ``validation_fraction``, which say what they are judged on.
    combine : bool, default=True
        Whether forecasts are averaged. One candidate is picked otherwise, or if it is best alone.
    margin : float, default=0.02
        Share by which a later candidate has to be better to be picked where `combine` is False.
    cutoffs, targets, target_transformer, duplicates, time_col, id_col, device, random_state
        As in `LatentODEForecaster`.
    verbose : bool, default=False
        Whether to print the score of every candidate.
    max_time : float, str or timedelta, optional
        Most time that the fit takes, trials and final fits. Where it is short, later candidates are
        left out.

    Attributes
    ----------
    members_ : dict of str to BaseForecaster
        The candidates whose quantiles are averaged, fitted on everything, by name.
    weights_ : Series
        Their weights by name; they sum to 1.
    best_ : BaseForecaster
        The heaviest of them.
    best_name_ : str
        Its name.
    leaderboard_ : DataFrame
        One row a candidate: held-out score (1 is that of the training distribution, smaller is
        better), seconds, why it failed if it did, whether it was picked, and its weight.
    reason_ : str
        What was picked and why, in a sentence.

    References
    ----------
    Bates, J. M., Granger, C. W. J. (1969). The Combination of Forecasts. Operational Research
    Quarterly 20, 451 (weights).

    Lichtendahl, K. C., Grushka-Cockayne, Y., Winkler, R. L. (2013). Is It Better to Average
    Probabilities or Quantiles? Management Science 59, 1594 (quantiles).

    Clark, M., Gangopadhyay, S., Hay, L., Rajagopalan, B., Wilby, R. (2004). The Schaake Shuffle.
    Journal of Hydrometeorology 5, 243 (paths).

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> y = pd.Series(np.random.default_rng(0).normal(size=60).cumsum())
    >>> simple = [ode.BaselineForecaster(method=m) for m in ("climatology", "last")]
    >>> auto = ode.AutoForecaster(3.0, candidates=simple, random_state=0).fit(y)
    >>> auto.best_name_
    'baseline (last)'
    >>> float(auto.weights_.sum())
    1.0
    >>> auto.predict([60.5]).shape
    (1,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "candidates": [Mapping, list, tuple, None],
        "combine": ["boolean"],
        "margin": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
        "max_time": LIMITS,
    }

    horizon: Any = field(default=None, kw_only=False)
    candidates: (
        Mapping[str, BaseForecaster] | Sequence[str | type[BaseForecaster] | BaseForecaster] | None
    ) = None
    combine: bool = True
    margin: float = 0.02
    cutoffs: Any = None
    targets: Any = None
    target_transformer: Any = None
    duplicates: str = "error"
    time_col: Hashable = None
    id_col: Hashable = None
    device: str = "auto"
    random_state: Any = None
    verbose: bool = False
    max_time: Limit | None = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Try the candidates, weigh them, and fit those that take part.

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
        ValueError
            If there are no candidates, or they have equal names or would be judged on different
            values.

        Warns
        -----
        ConvergenceWarning
            If nothing could be held out, so that the first candidate is fitted, or a chosen
            candidate could not be fitted on all data.
        UserWarning
            If one value alone was observed of a target, so that its intervals have no width.
        """
        self._validate_params()
        budget = Budget(self.max_time)
        panel, schema = self._read(X, y)
        entrants = self._entrants(panel.n_targets)
        seed = drawn_seed(self.random_state)
        with one_thread():
            trials = tried(entrants, panel, schema, seed, budget)
            judged = {n: t.found.judged for n, t in trials.items() if t.found and t.is_scored}
            shares = self._weighed(trials, judged)
            chosen = {name: trials[name] for name in shares}
            members = completed(chosen, panel, schema, seed, budget)
        total = sum(shares[name] for name in members)
        weights = {name: shares[name] / total for name in members}
        score = mean_score(judged, weights) if judged else math.nan
        reason = explained(trials, weights, score)
        self._adopt(members, weights, leaderboard(trials, weights), reason)
        if self.verbose:
            print(self.leaderboard_.to_string(float_format="%.3f"), self.reason_, sep="\n")
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was fitted, to be read by `odeseries.load`.

        A single forecaster is written as what it is. Several are written together with their
        weights; the candidates that take no part are not.

        Parameters
        ----------
        path : path
            As in `LatentODEForecaster.save`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        PersistenceError
            If a parameter can't be written; it is named.
        PluginError
            If the class of a member is not registered.
        """
        check_is_fitted(self)
        if len(self.members_) == 1:
            self.best_.save(path)
        else:
            rows = self.leaderboard_.to_dict("index")
            save_combination(self, {"leaderboard": rows, "reason": self.reason_}, path)

    def _adopt(
        self,
        members: dict[str, BaseForecaster],
        weights: Mapping[str, float],
        leaderboard: Mapping[str, Mapping[str, float | str | bool]],
        reason: str,
    ) -> Self:
        """Answer from fitted members, of here or from a file."""
        self.members_, self.weights_ = members, pd.Series(weights, name="weight")
        table = pd.DataFrame.from_dict(dict(leaderboard), orient="index")
        self.leaderboard_, self.reason_ = table.rename_axis("candidate"), reason
        self.best_name_ = max(weights, key=lambda name: weights[name])
        best = self.best_ = members[self.best_name_]
        self.schema_, self.panel_, self.seed_ = best.schema_, best.panel_, best.seed_
        self.horizon_, self.history_ = best.horizon_, best.history_
        self.climatology_ = best.climatology_
        self.n_features_in_, self.feature_names_in_ = best.n_features_in_, best.feature_names_in_
        return self

    def _quantiles(self, queries: Queries, panel: Panel, levels: Float64) -> Float64:
        """Weighted mean of the members' quantiles."""
        found = [m._quantiles(queries, panel, levels) for m in self.members_.values()]
        return averaged(np.stack(found), self.weights_.to_numpy())

    def _drawn(self, queries: Queries, panel: Panel, n_samples: int, seed: int) -> Float64:
        """Paths of the heaviest member, moved to the averaged quantiles in their order."""
        if len(self.members_) == 1:
            return self.best_._drawn(queries, panel, n_samples, seed)
        size = max(n_samples, FEWEST_RANKED)
        paths = self.best_._drawn(queries, panel, size, seed)
        order = np.lexsort((_lots(queries, panel, size, seed), paths), axis=0)
        ranks = (order.argsort(0) + 0.5) / size
        return at_ranks(self._quantiles(queries, panel, PATH_LEVELS), ranks[:n_samples])

    def _weighed(
        self, trials: Mapping[str, Trial], judged: Mapping[str, Judged]
    ) -> dict[str, float]:
        """Weights of the candidates that take part."""
        if not judged:
            return {unjudged(trials): 1.0}
        if self.combine:
            return combined(judged, {n: _standing(trials[n].forecaster) for n in judged})[0]
        best, *rest = judged
        for name in rest:
            if trials[name].score < trials[best].score * (1 - self.margin):
                best = name
        return {best: 1.0}

    def _entrants(self, n_targets: int) -> dict[str, BaseForecaster]:
        """Copies of the candidates by name, with the parameters that all share."""
        given = _defaults(n_targets) if self.candidates is None else self.candidates
        if isinstance(given, Mapping):
            named = {name: clone(_made(one)) for name, one in given.items()}
        else:
            made = [_made(one) for one in given]
            named = {_name(one): clone(one) for one in made}
        if not named:
            raise ValueError("candidates is empty: name at least one forecaster.")
        if len(named) < len(given):
            raise ValueError("Some candidates have the same name: give a mapping of names to them.")
        shared = {name: getattr(self, name) for name in SHARED}
        for one in named.values():
            one.set_params(**shared)
            one._validate_params()
        _require_common(named)
        return named


def _made(candidate: Any) -> Any:
    """A forecaster, of its name or class where it is one of these."""
    is_made = isinstance(candidate, BaseForecaster)
    return candidate if is_made else plugins.get("forecaster", candidate)()


def _require_common(named: Mapping[str, BaseForecaster]) -> None:
    """Refuse candidates that would be judged on different values."""
    for key in ("validation_fraction", "n_queries"):
        values = {name: getattr(one, key) for name, one in named.items()}
        if len(set(values.values())) > 1:
            told = ", ".join(f"{name}: {value}" for name, value in values.items())
            raise ValueError(
                f"The candidates differ in {key} ({told}), so that they would forecast different "
                f"held-out values: give all the same."
            )


def _defaults(n_targets: int) -> list[BaseForecaster]:
    """The simplest first; of the learned ones, the strongest first, which get more time."""
    simple = [BaselineForecaster(method=m) for m in ("climatology", "last", "mean", "lags")]
    apart = [LinearSDEForecaster()] if n_targets <= MOST_APART else []
    return [
        *simple,
        ForestForecaster(),
        *apart,
        LatentODEForecaster(),
        LatentODEForecaster(dynamics="mlp"),
    ]


def _lots(queries: Queries, panel: Panel, n_paths: int, seed: int) -> Float64:
    """A number for every path of a target of a series, (n_paths, n_rows, n_targets)."""
    lots = np.empty((n_paths, len(queries.times), panel.n_targets))
    for i in np.unique(queries.series):
        rng = generator_of(seed, panel.ids[i], stream=1)
        lots[:, queries.series == i] = rng.random((n_paths, 1, panel.n_targets))
    return lots


def _standing(forecaster: BaseForecaster) -> Standing:
    """What is known of a forecaster before it is tried.

    A regression adds nothing where others are clearly better. A linear equation's constants
    have the greatest likelihood; those whose training ends when what is held out is foretold best
    have scores that flatter them.
    """
    if isinstance(forecaster, BaselineForecaster):
        is_plain = forecaster.method not in REGRESSED
        return Standing(is_plain=True) if is_plain else Standing(limit=1.3)
    return Standing(weight=2.0) if isinstance(forecaster, LinearSDEForecaster) else Standing()


def _told(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", repr(value))


def _name(forecaster: BaseForecaster) -> str:
    """Name of a forecaster, with what tells it from others of its class."""
    changed = {
        name: value
        for name, value in forecaster.get_params(deep=False).items()
        if name in ("method", "dynamics", "encoder", "head")
    }
    told = ", ".join(_told(value) for value in changed.values())
    name = plugins.qualified_name(type(forecaster))
    return f"{name} ({told})" if told else name
