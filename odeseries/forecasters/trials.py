"""Candidates tried on one held-out part, and fitted on everything once they are chosen."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from odeseries.control import Budget, Control
from odeseries.errors import ConvergenceWarning, OdeSeriesError
from odeseries.fitting import refit, search
from odeseries.forecasters.base import BaseForecaster
from odeseries.frames import Schema
from odeseries.holding_out import Searched
from odeseries.panel import Panel
from odeseries.recipe import Fitted

__all__ = ["Trial", "completed", "explained", "leaderboard", "tried", "unjudged"]


@dataclass(frozen=True, eq=False)
class Trial:
    """What a candidate came to on the held-out part.

    Attributes
    ----------
    score : float
        Held-out CRPS over that of the training distribution; infinite where there is none.
    failure : str
        Why it failed; empty if it did not.
    found : Searched or None
        The first phase of its fit.
    rng : numpy.random.Generator or None
        With which the second phase goes on.
    """

    forecaster: BaseForecaster
    score: float
    seconds: float
    failure: str = ""
    found: Searched | None = None
    rng: np.random.Generator | None = None

    @property
    def is_scored(self) -> bool:
        """Whether its forecasts of the held-out part can be compared."""
        return math.isfinite(self.score)

    @property
    def needed(self) -> float:
        """Seconds that the final fit will take: as many steps as were found best, and the rest."""
        records = [] if self.found is None else self.found.fitted.records
        if self.found is None or not records:
            return self.seconds
        training = sum(float(record["seconds"]) for record in records)
        share = self.found.fitted.best_steps / float(records[-1]["step"])
        return self.found.setup_seconds + min(share, 1.0) * training


def tried(
    entrants: Mapping[str, BaseForecaster], panel: Panel, schema: Schema, seed: int, budget: Budget
) -> dict[str, Trial]:
    """Let every candidate forecast the held-out part, as far as there is time.

    Time is kept for the final fits of those that were tried. All else is a candidate's, which
    leaves what its own final fit needs. One that would get less than an earlier one took is left
    out: few that are trained to their end forecast better than many that are not.
    """
    trials: dict[str, Trial] = {}
    for name, forecaster in entrants.items():
        taken = [trial.seconds for trial in trials.values()]
        allowed = budget.left() - sum(trial.needed for trial in trials.values())
        if taken and allowed <= max(taken):
            reason = "max_time leaves too little for a trial"
            trials[name] = Trial(forecaster, math.inf, 0.0, reason)
        else:
            trials[name] = _tried(forecaster, panel, schema, seed, _limited(allowed))
    return trials


def completed(
    chosen: Mapping[str, Trial], panel: Panel, schema: Schema, seed: int, budget: Budget
) -> dict[str, BaseForecaster]:
    """Fit the chosen candidates on everything; each gets time as it needs.

    Those that fail are left out with a warning. After an interruption the other ones keep what
    they were tried with.

    Raises
    ------
    OdeSeriesError
        If all fail.
    """
    members: dict[str, BaseForecaster] = {}
    interrupted = False
    for i, (name, trial) in enumerate(chosen.items()):
        rest = sum(t.needed for t in list(chosen.values())[i:])
        try:
            allowed = budget.left() * trial.needed / max(rest, 1e-9)
            fitted = _completed(name, trial, interrupted, panel, schema, seed, allowed)
        except OdeSeriesError as error:
            if not members and i + 1 == len(chosen):
                raise
            _warn(f"{name} is left out, since its fit on all data failed: {error}")
            continue
        members[name] = trial.forecaster
        interrupted = interrupted or fitted.interrupted
    return members


def unjudged(trials: Mapping[str, Trial]) -> str:
    """The first candidate that did not fail, where none has a score."""
    sound = [name for name, trial in trials.items() if not trial.failure]
    if not sound:
        reasons = "; ".join(f"{name}: {trial.failure}" for name, trial in trials.items())
        raise OdeSeriesError(f"Every candidate failed. {reasons}")
    _warn(
        f"Nothing could be held out to compare the candidates: {sound[0]} is used. Give longer "
        "series, or a shorter horizon."
    )
    return sound[0]


def leaderboard(
    trials: Mapping[str, Trial], weights: Mapping[str, float]
) -> dict[str, dict[str, float | str | bool]]:
    """One row a candidate, as they were given."""
    return {
        name: {
            "score": trial.score if trial.is_scored else math.nan,
            "seconds": trial.seconds,
            "failure": trial.failure,
            "picked": name in weights,
            "weight": weights.get(name, 0.0),
        }
        for name, trial in trials.items()
    }


def explained(trials: Mapping[str, Trial], weights: Mapping[str, float], score: float) -> str:
    """Why the chosen candidates were chosen, in a sentence."""
    alone = len(weights) == 1
    what = " + ".join(name if alone else f"{weight:.2f} {name}" for name, weight in weights.items())
    if not math.isfinite(score):
        return f"{what}: nothing could be held out to compare the candidates."
    text = f"{what}: held-out CRPS {score:.3f} of that of the training distribution"
    scores = {name: trial.score for name, trial in trials.items() if trial.is_scored}
    others = {name: s for name, s in scores.items() if not (alone and name in weights)}
    if not others:
        return text + "."
    second = min(others, key=lambda name: others[name])
    other = "the best other" if others[second] >= score else "within the margin of"
    return f"{text}; {other if alone else 'the best alone,'} {second}: {others[second]:.3f}."


def _tried(
    forecaster: BaseForecaster, panel: Panel, schema: Schema, seed: int, control: Control
) -> Trial:
    """One candidate's forecasts of the held-out part."""
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    recipe = forecaster._recipe(panel, schema)
    try:
        found = search(panel, recipe, forecaster.build, seed, rng, control)
    except OdeSeriesError as error:
        return Trial(forecaster, math.inf, time.perf_counter() - started, str(error))
    score = math.inf if found is None else found.judged.score()
    score = score if math.isfinite(score) else math.inf
    return Trial(forecaster, score, time.perf_counter() - started, "", found, rng)


def _completed(
    name: str,
    trial: Trial,
    interrupted: bool,
    panel: Panel,
    schema: Schema,
    seed: int,
    allowed: float,
) -> Fitted:
    """Fit a candidate on everything."""
    forecaster, found = trial.forecaster, trial.found
    recipe = forecaster._recipe(panel, schema)
    if found is not None and found.fitted.records and allowed < trial.needed / 2:
        _warn(f"max_time leaves no time to train {name} on all data: the held-out part is not seen")
        fitted = found.fitted
    else:
        first = replace(found, interrupted=True) if found is not None and interrupted else found
        rng = trial.rng or np.random.default_rng(seed)
        fitted = refit(panel, recipe, forecaster.build, seed, rng, _limited(allowed), first)
    forecaster._conclude(schema, panel, recipe, fitted, seed)
    return fitted


def _limited(seconds: float) -> Control:
    """Control of a fit that may take so long."""
    return Control(Budget(None if math.isinf(seconds) else max(seconds, 1e-3)))


def _warn(text: str) -> None:
    warnings.warn(text, ConvergenceWarning, stacklevel=5)
