"""From data to a flow: what is tried on rows held out, and the training on all of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from odeseries.cnf.audit import LARGEST_ERROR, audited
from odeseries.cnf.bases import Base, MixtureBase, NormalBase
from odeseries.cnf.design import Design
from odeseries.cnf.flow import Flow
from odeseries.cnf.held_out import NOISES, HeldOut, clearly_better, split
from odeseries.cnf.mixtures import drawn
from odeseries.cnf.routes import Ground, Route, routes
from odeseries.cnf.rows import Rows
from odeseries.cnf.training import Schedule, Task
from odeseries.control import Control, Record
from odeseries.errors import ConvergenceWarning
from odeseries.solvers.options import options_for_users

__all__ = ["Fit", "Fitted", "Recipe"]

Float64 = npt.NDArray[np.float64]
RATES = {"flow_matching": 1e-2, "likelihood": 3e-3}
TRAINING_STEPS, JUDGING_STEPS, AUDITED_STEPS = 4, 10, 8
AUDITED_ROWS = 200
LEAST_GAIN = 0.01
"""Nats that the likelihood of a row must gain, for its training to be worth its price."""
FEWEST_ROWS = 10
"""Fewer are not shared into rows to train on and rows held out."""


@dataclass(frozen=True)
class Recipe:
    """What a user asks for; see the parameters of the estimator."""

    objective: str
    base: str
    design: Design
    n_probes: int
    noise: float | str
    kinetic: float
    jacobian: float
    solver_params: Mapping[str, Any] | None
    max_epochs: int
    batch_size: int
    learning_rate: float | None
    weight_decay: float
    early_stopping: bool
    validation_fraction: float
    patience: int
    verbose: bool

    def steps(self, default: int) -> dict[str, Any]:
        """Options of the solver, those of the user first."""
        given = self.solver_params
        return {"n_steps": default} if given is None else options_for_users(given)


@dataclass(frozen=True)
class Fitted:
    """A trained flow, and what is told about its training.

    Attributes
    ----------
    n_components : int
        Of the base; 0 for a standard normal one.
    """

    flow: Flow
    objective: str
    n_components: int
    error: float
    n_epochs: int
    records: list[Record]
    interrupted: bool


@dataclass(frozen=True)
class _Trial:
    """How likely a route found every row held out, at best, after so many epochs."""

    route: Route
    each: Tensor
    n_epochs: int
    noise: float
    records: list[Record]
    interrupted: bool = False


class Fit:
    """The training of one flow.

    Parameters
    ----------
    recipe : Recipe
    ground : Ground
        Where the flow is learnt.
    rows : Rows
        Data there, on the device of the flow.
    seed : int
        Of everything random.
    control : Control
        Time, callbacks and checkpoints.
    """

    def __init__(
        self, recipe: Recipe, ground: Ground, rows: Rows, seed: int, control: Control
    ) -> None:
        self.recipe, self.ground, self.rows = recipe, ground, rows
        self.seed, self.control = seed, control
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (recipe.n_probes, 1, self.dim))
        self.probes = torch.as_tensor(signs, device=rows.x.device)

    @property
    def dim(self) -> int:
        """Dimension of the data."""
        return self.rows.x.shape[1]

    def run(self) -> Fitted:
        """Try what there is to choose, and train the best on all rows."""
        chosen, records = self._chosen()
        flow = self._flow(chosen.route, self.rows)
        interrupted = chosen.interrupted
        if chosen.n_epochs:
            task = self._task(flow, self.rows, chosen.route, "training")
            trained = task.cycle(chosen.n_epochs)
            records, interrupted = records + trained.records, interrupted or trained.interrupted
        flow.noise.fill_(chosen.noise)
        if interrupted:
            text = "Interrupted: kept are the averaged weights so far."
            warnings.warn(text, ConvergenceWarning, stacklevel=4)
        error = self._audit(flow)
        return Fitted(
            flow.eval(),
            chosen.route.objective,
            flow.base.n_components,
            error,
            chosen.n_epochs,
            records,
            interrupted,
        )

    def _chosen(self) -> tuple[_Trial, list[Record]]:
        """The best route, with the records of all trials."""
        possible = routes(self.recipe.objective, self.recipe.base)
        if not self.recipe.early_stopping or len(self.rows) < FEWEST_ROWS:
            noise = self._noises(possible[-1])[0]
            return _Trial(possible[-1], torch.zeros(0), self.recipe.max_epochs, noise, []), []
        best = self._tried(possible[0], None)
        records = best.records
        for route in possible[1:]:
            other = self._tried(route, best)
            records = records + other.records
            if not clearly_better(best.each, other.each):
                best = other
        return best, records

    def _tried(self, route: Route, rival: _Trial | None) -> _Trial:
        """Train on a part until the rows held out are no longer more likely.

        A route that is clearly behind another before its training is not worth its price.
        """
        known, held = split(
            self.rows, self.recipe.validation_fraction, np.random.default_rng(self.seed)
        )
        judge = HeldOut(held, self.probes, self._noises(route), self.recipe.steps(JUDGING_STEPS))
        flow = self._flow(route, known)
        at_rest = judge.each(flow, judge.noises[0])
        resting = _Trial(route, at_rest, 0, 0.0, [])
        if route.mixed and rival is not None and clearly_better(rival.each, at_rest):
            return resting
        task = self._task(flow, known, route, f"trial of {route.name}")
        least = LEAST_GAIN if route.objective == "likelihood" else 0.0
        trained = task.search(judge, self.recipe.max_epochs, self.recipe.patience, least)
        noise = judge.best(flow)
        each = judge.each(flow, noise)
        if route.objective == "likelihood" and not _worth_it(each, at_rest):
            return replace(resting, records=trained.records, interrupted=trained.interrupted)
        n_epochs = -(-trained.steps // task.steps)
        return _Trial(route, each, n_epochs, noise, trained.records, trained.interrupted)

    def _noises(self, route: Route) -> tuple[float, ...]:
        """Noise of the density that is to be chosen from."""
        if route.objective == "likelihood":
            return (0.0,)
        return NOISES if self.recipe.noise == "auto" else (float(self.recipe.noise),)

    def _flow(self, route: Route, rows: Rows) -> Flow:
        """An untrained flow, on a base that fits these rows."""
        base = self._mixture(rows) if route.mixed else NormalBase(self.dim)
        options = self.recipe.steps(TRAINING_STEPS)
        n_conditions = rows.condition.shape[1]
        flow = self.recipe.design.build(base, self.dim, n_conditions, options, self.seed)
        if route.objective == "likelihood":
            flow.velocity.rest()
        return flow.to(rows.x.device)

    def _mixture(self, rows: Rows) -> Base:
        """The chosen mixture, fitted to rows drawn by their weights unless these are equal."""
        x, weights = rows.x.double().cpu().numpy(), rows.weights.double().cpu().numpy()
        x = drawn(x, weights, self.seed)
        return MixtureBase.of(self.ground.mixture.fit(x, self.seed))

    def _task(self, flow: Flow, rows: Rows, route: Route, name: str) -> Task:
        recipe = self.recipe
        schedule = Schedule(
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate or RATES[route.objective],
            weight_decay=recipe.weight_decay,
            n_probes=recipe.n_probes,
            noise=0.0 if recipe.noise == "auto" else float(recipe.noise),
            kinetic=recipe.kinetic,
            jacobian=recipe.jacobian,
            verbose=recipe.verbose,
        )
        return Task(flow, rows, route.objective, schedule, self.seed, self.control, name)

    def _audit(self, flow: Flow) -> float:
        """Let the flow have the steps that its density needs; the error that is left."""
        # Data may be sorted; the generator is its own, so that no other draw changes.
        chosen = np.random.default_rng(self.seed).permutation(len(self.rows))[:AUDITED_ROWS]
        rows = self.rows.take(torch.from_numpy(np.sort(chosen)).to(self.rows.x.device))
        flow.options = self.recipe.steps(AUDITED_STEPS)
        exact = copy.deepcopy(flow).double()
        parts: list[Tensor] = [rows.x.double(), rows.condition.double(), self.probes]
        flow.options, error = audited(exact, *parts)
        if error >= LARGEST_ERROR:
            warnings.warn(
                f"The log-density still changes by {error:.2g} nats when it is solved more "
                f"finely than with {flow.options}: give solver_params of finer steps.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return error


def _worth_it(trained: Tensor, at_rest: Tensor) -> bool:
    """Whether rows held out gained by a training, clearly and enough."""
    gain = float((trained - at_rest).mean())
    return gain > LEAST_GAIN and clearly_better(trained, at_rest)
