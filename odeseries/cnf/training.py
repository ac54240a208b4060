"""Training of a flow on weighted rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odeseries.checkpoints import Randomness
from odeseries.cnf.flow import Flow
from odeseries.cnf.held_out import HeldOut
from odeseries.cnf.path import on_path
from odeseries.cnf.rows import Rows
from odeseries.control import Control
from odeseries.trained import Trained
from odeseries.training import Loop

__all__ = ["Schedule", "Task"]

AVERAGING = {"flow_matching": 0.998, "likelihood": 0.97}
LEAST_STEPS = {"flow_matching": 100, "likelihood": 20}
"""Batches of an epoch, unless a pass has more."""


@dataclass(frozen=True)
class Schedule:
    """How a flow is trained.

    Attributes
    ----------
    n_probes : int
        Random signs a row, where the divergence of the likelihood is estimated.
    noise : float
        Standard deviation of what is added to the data when their likelihood is maximised.
    kinetic, jacobian : float
        Weights of the costs of paths, see `odeseries.Regularised`, beside the likelihood.
    """

    batch_size: int
    learning_rate: float
    weight_decay: float
    n_probes: int
    noise: float
    kinetic: float
    jacobian: float
    verbose: bool


class Task:
    """One flow and the rows that it learns.

    Parameters
    ----------
    flow : Flow
        Trained in place.
    rows : Rows
        On the device of the flow.
    objective : {"flow_matching", "likelihood"}
        What is minimised.
    schedule : Schedule
    seed : int
        Of the order of the rows, of times, noise and probes.
    control : Control
        Time, callbacks and checkpoints.
    name : str
        Shown in the progress bar and kept in the records.
    """

    def __init__(
        self,
        flow: Flow,
        rows: Rows,
        objective: str,
        schedule: Schedule,
        seed: int,
        control: Control,
        name: str,
    ) -> None:
        self.flow, self.rows, self.schedule = flow, rows, schedule
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = rows.steps_per_epoch(schedule.batch_size, LEAST_STEPS[objective])
        losses = {"flow_matching": self._matching, "likelihood": self._likelihood}
        self.loop: Loop[Rows] = Loop(
            flow,
            losses[objective],
            learning_rate=schedule.learning_rate,
            decay=schedule.weight_decay,
            description=name,
            verbose=schedule.verbose,
            control=control,
            randomness=Randomness(self.rng, self.generator),
            averaging=AVERAGING[objective],
        )

    def cycle(self, n_epochs: int) -> Trained:
        """Train for so many epochs on one rise and fall of the rate."""
        return self.loop.cycle(self._epochs(), n_epochs * self.steps)

    def search(self, held: HeldOut, max_epochs: int, patience: int, least_gain: float) -> Trained:
        """Train at a constant rate until the likelihood of rows held out stops rising.

        See `odeseries.training.Loop.search`.
        """
        return self.loop.search(
            self._epochs(),
            lambda: held.loss(self.flow),
            max_epochs=max_epochs,
            patience=patience,
            least_gain=least_gain,
        )

    def _epochs(self) -> Iterator[Iterator[Rows]]:
        return self.rows.epochs(self.schedule.batch_size, self.steps, self.rng)

    def _matching(self, rows: Rows) -> Tensor:
        r"""Weighted mean of :math:`\|v(t, s_t) - \dot s_t\|^2 / d`, the times spread evenly."""
        n, dim = rows.x.shape
        # In the order of the rows, which is random.
        t = torch.linspace(0, 1 - 1 / n, n).add_(self._uniform(n), alpha=1 / n)[:, None]
        t = t.to(rows.x.device)
        state, velocity = on_path(t, self._normal(n, dim).to(rows.x.device), rows.x)
        field = self.flow.velocity
        return field.squared_error(t, state, rows.condition, velocity, rows.weights)

    def _likelihood(self, rows: Rows) -> Tensor:
        """Weighted mean of the negative logarithm of the density, in nats a dimension."""
        n, dim = rows.x.shape
        x = rows.x
        if self.schedule.noise:
            x = x + self.schedule.noise * self._normal(n, dim).to(x.device)
        signs = self._normal(self.schedule.n_probes * n, dim).sign().to(x.device)
        probes = signs.view(-1, n, dim)
        each = -self.flow.log_density(x, rows.condition, probes)
        if self.schedule.kinetic or self.schedule.jacobian:
            costs = self.flow.costs(x, rows.condition, self.generator)
            each = each + self.schedule.kinetic * costs.kinetic[:, -1]
            each = each + self.schedule.jacobian * costs.jacobian[:, -1]
        return (rows.weights * each).mean() / dim

    def _normal(self, n: int, dim: int) -> Tensor:
        return torch.randn(n, dim, generator=self.generator)

    def _uniform(self, n: int) -> Tensor:
        return torch.rand(n, generator=self.generator)
