"""Training of the classifier's network on weighted rows."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from odeseries.checkpoints import Randomness
from odeseries.control import Control
from odeseries.errors import ConvergenceWarning
from odeseries.odenet.inputs import Shift
from odeseries.odenet.network import ODENet
from odeseries.odenet.noise import dropped, noisy
from odeseries.odenet.rows import Rows, hold_out
from odeseries.trained import Trained
from odeseries.training import Loop

__all__ = ["OF_FEATURES", "OF_IMAGES", "Schedule", "Task", "Usual"]

VALIDATION_ROWS = 1000
FEW_ROWS = 1500


@dataclass(frozen=True)
class Usual:
    """What is taken where the user says nothing.

    Attributes
    ----------
    epochs : int
        Of few rows.
    noise : float
        Standard deviation of what is added to the inputs.
    """

    epochs: int
    noise: float

    def epochs_of(self, n: int) -> int:
        """Of n rows: fewer of many, so that steps grow more slowly than rows."""
        return max(1, round(self.epochs * min(1.0, math.pow(FEW_ROWS / n, 1 / 3))))


OF_FEATURES, OF_IMAGES = Usual(40, 0.3), Usual(25, 0.0)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained, and what is made harder for it meanwhile."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    noise: float
    dropout: float
    early_stopping: bool
    validation_fraction: float
    patience: int
    shift: Shift | None
    verbose: bool


class Task:
    """One network and the rows that it learns.

    Parameters
    ----------
    net : ODENet
        Trained in place.
    rows : Rows
        On the device of the network.
    schedule : Schedule
    seed : int
        Of the order of the rows, of shifts, of noise, of dropout and of the hold-out.
    control : Control
        Time, callbacks and checkpoints.
    """

    def __init__(
        self, net: ODENet, rows: Rows, schedule: Schedule, seed: int, control: Control
    ) -> None:
        self.net, self.rows, self.schedule = net, rows, schedule
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.loop: Loop[Rows] = Loop(
            net,
            self._loss,
            learning_rate=schedule.learning_rate,
            decay=schedule.weight_decay,
            description="training",
            verbose=schedule.verbose,
            control=control,
            randomness=Randomness(self.rng, self.generator),
            refits=False,
        )

    def fit(self) -> Trained:
        """Train for all epochs, or until a held-out part says that it is enough."""
        known, held = self.rows, self.rows.take(slice(0))
        if self.schedule.early_stopping:
            known, held = self._split()
        epochs = known.epochs(self.schedule.batch_size, self.rng)
        if len(held):
            trained = self.loop.search(
                epochs,
                lambda: self._log_loss(held),
                max_epochs=self.schedule.max_epochs,
                patience=self.schedule.patience,
            )
        else:
            per_epoch = -(-len(known) // self.schedule.batch_size)
            trained = self.loop.cycle(epochs, self.schedule.max_epochs * per_epoch)
        if trained.interrupted:
            text = "Interrupted: kept are the averaged weights so far."
            warnings.warn(text, ConvergenceWarning, stacklevel=3)
        return trained

    def epoch(self, state: dict[str, Any] | None) -> dict[str, Any]:
        """Train for one epoch more.

        Parameters
        ----------
        state : dict or None
            Where the last epoch left the training; None in the first.

        Returns
        -------
        dict
            Where this one left it.
        """
        if state is not None:
            self.loop.restore(state)
        self.loop.epoch(self.rows.epoch(self.schedule.batch_size, self.rng))
        state = copy.deepcopy(self.loop.state())
        self.loop.settle()
        return state

    def _split(self) -> tuple[Rows, Rows]:
        labels = self.rows.labels.cpu().numpy()
        known, held = hold_out(labels, self.schedule.validation_fraction, self.rng)
        return self.rows.take(torch.from_numpy(known)), self.rows.take(torch.from_numpy(held))

    def _loss(self, rows: Rows) -> Tensor:
        """Weighted cross-entropy of some rows, as a share of that of all."""
        each = cross_entropy(
            self.net(self._harder(rows.x), self._dropped), rows.labels, reduction="none"
        )
        return (rows.weights * each).mean()

    def _harder(self, x: Tensor) -> Tensor:
        """The inputs moved and with noise, as far as asked for."""
        if self.schedule.shift is not None:
            x = self.schedule.shift.at_random(x, self.generator)
        return noisy(x, self.schedule.noise, self.generator)

    def _dropped(self, z: Tensor) -> Tensor:
        return dropped(z, self.schedule.dropout, self.generator)

    @torch.no_grad()
    def _log_loss(self, held: Rows) -> float:
        """Weighted mean log-loss."""
        logits = torch.cat([self.net(x) for x in torch.split(held.x, VALIDATION_ROWS)])
        each = cross_entropy(logits, held.labels, reduction="none")
        return float((held.weights * each).sum() / held.weights.sum())
