"""Two-phase fitting: a held-out part chooses how long to train, then all data are used."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from odeseries.control import Control, Record
from odeseries.errors import ConvergenceWarning, DataError
from odeseries.holding_out import Searched, complete, is_asked, searched, split
from odeseries.panel import Panel
from odeseries.phases import Phase
from odeseries.recipe import Build, Fitted, Recipe
from odeseries.resolution import warn_of_lost_digits
from odeseries.scaling import Scaling
from odeseries.widths import Calibration

__all__ = ["fit", "refit", "search"]

STEPS_WITHOUT_HOLDOUT = 100
MEMBER_STRIDE = 1_000_003
"""Between the seeds of the members, so that seeds next to each other share none."""


def fit(
    panel: Panel, recipe: Recipe, build: Build, seed: int, control: Control | None = None
) -> Fitted:
    """Fit in two phases.

    First a part is held out: the last share of the time of each series or, of a panel of many,
    whole series. Training at a constant rate on the rest tells the number of steps after which
    the held-out forecasts are best, and how wide they should be. Then a fresh network is
    trained on everything for that many steps.

    Ctrl-C ends the fit. The network of the first phase is kept, at its best held-out loss, unless
    the second one has done at least half of its steps.

    Parameters
    ----------
    panel : Panel
        In clock units.
    recipe : Recipe
    build : callable
        Makes a network from a `Spec`.
    seed : int
        Seed of everything random.
    control : Control, optional
        Time, callbacks and checkpoints.

    Returns
    -------
    Fitted

    Raises
    ------
    OdeSeriesError
        If no step had a finite loss.
    DataError
        If no series has something observed both up to a cutoff and in the horizon after it.
    KeyboardInterrupt
        If there are no weights to be kept yet.
    """
    if not is_asked(panel, recipe):
        raise DataError(
            "No series has something observed both up to one of the cutoffs and in the horizon "
            "after it, so that there is nothing to learn from: move the cutoffs, or leave them out."
        )
    warn_of_lost_digits(panel, Scaling.fitted(panel, recipe.horizon, recipe.transformer))
    control = control or Control()
    rng = np.random.default_rng(seed)
    first = search(panel, recipe, build, seed, rng, control)
    return refit(panel, recipe, build, seed, rng, control, first)


def search(
    panel: Panel,
    recipe: Recipe,
    build: Build,
    seed: int,
    rng: np.random.Generator,
    control: Control,
) -> Searched | None:
    """First phase of a fit: choose the length of the training on what is held out.

    Returns
    -------
    Searched or None
        None where nothing can be held out.
    """
    known, held, starts = split(panel, recipe, rng)
    if known is None:
        return None
    scaling = Scaling.fitted(complete(known, panel), recipe.horizon, recipe.transformer)
    phase = Phase(known, scaling, recipe, build, seed, rng, control, len(panel))
    return searched(phase, held, starts / recipe.horizon)


def refit(
    panel: Panel,
    recipe: Recipe,
    build: Build,
    seed: int,
    rng: np.random.Generator,
    control: Control,
    first: Searched | None,
) -> Fitted:
    """Second phase of a fit: train a fresh network on everything, as long as was found best.

    The network of the first phase is kept if the second one comes to nothing.
    """
    if first is not None and first.interrupted:
        return _kept("best weights so far", first)
    asked = recipe.n_steps or STEPS_WITHOUT_HOLDOUT
    steps = asked if first is None else first.fitted.best_steps
    try:
        scaling = Scaling.fitted(panel, recipe.horizon, recipe.transformer)
        started = time.perf_counter()
        phase = Phase(panel, scaling, recipe, build, seed + 1, rng, control, len(panel))
        tail = 0.0 if first is None else first.validation_seconds
        trained = phase.cycled("training on all", steps, tail)
        took = time.perf_counter() - started
    except KeyboardInterrupt:
        if first is None:
            raise
        return _kept("weights of the first phase", first)
    if trained.interrupted and 2 * trained.step < steps and first is not None:
        return _kept("weights of the first phase", first, trained.records)
    if trained.interrupted:
        _warn_interrupted("averaged weights so far")
    fitted = phase.fitted(Calibration(), trained.records, steps, float("nan"))
    if first is not None:
        records = first.fitted.records + trained.records
        fitted = replace(
            first.fitted, net=phase.net, spec=phase.spec, scaling=phase.scaling, records=records
        )
    if trained.interrupted:
        return replace(fitted, interrupted=True)
    return _joined(fitted, phase, steps, seed + 1, took + tail)


def _joined(fitted: Fitted, phase: Phase, steps: int, seed: int, seconds: float) -> Fitted:
    """Train the other members of the ensemble, as many as there is time for."""
    for k in range(1, phase.recipe.n_members if phase.learns else 1):
        if phase.control.budget.left() < seconds:
            warnings.warn(
                f"max_time was reached after {k} of n_members={phase.recipe.n_members} networks.",
                ConvergenceWarning,
                stacklevel=5,
            )
            break
        phase.renew(seed + k * MEMBER_STRIDE)
        trained = phase.cycled(f"training on all, member {k + 1}", steps)
        if trained.interrupted:
            _warn_interrupted(f"{k} complete networks")
            return replace(fitted, interrupted=True)
        records = fitted.records + trained.records
        fitted = replace(fitted, others=(*fitted.others, phase.net), records=records)
    return fitted


def _kept(what: str, first: Searched, more: Sequence[Record] = ()) -> Fitted:
    """The result of the first phase, after an interruption."""
    _warn_interrupted(what)
    return replace(first.fitted, records=[*first.fitted.records, *more], interrupted=True)


def _warn_interrupted(kept: str) -> None:
    warnings.warn(f"Interrupted: kept are the {kept}.", ConvergenceWarning, stacklevel=4)
