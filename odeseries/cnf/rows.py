"""Rows of a density: data in the space of the flow, conditions and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from odeseries.training import shuffled

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """Rows to learn from.

    Attributes
    ----------
    x : Tensor of shape (n, dim)
        Data in the space of the flow.
    condition : Tensor of shape (n, n_conditions)
        What their density is conditioned on.
    weights : Tensor of shape (n,)
        With a mean of 1 over the rows that are trained on.
    """

    x: Tensor
    condition: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, chosen: Tensor | slice) -> Rows:
        """Some of the rows."""
        return Rows(self.x[chosen], self.condition[chosen], self.weights[chosen])

    def steps_per_epoch(self, size: int, least: int) -> int:
        """Batches of an epoch: a pass, or more where a pass has too few."""
        return max(-(-len(self) // size), least)

    def epochs(self, size: int, steps: int, rng: np.random.Generator) -> Iterator[Iterator[Rows]]:
        """Endless epochs of so many batches."""
        batches = self._batches(size, rng)
        while True:
            yield islice(batches, steps)

    def _batches(self, size: int, rng: np.random.Generator) -> Iterator[Rows]:
        """Endless batches of nearly equal size, every row once before any row twice."""
        while True:
            yield from map(self.take, shuffled(len(self), size, rng, self.x.device))
