"""Rows of a density: data in the space of the flow, conditions and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

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
        columns = (self.x, self.condition, self.weights)
        if isinstance(chosen, slice):
            return Rows(*(column[chosen] for column in columns))
        return Rows(*(column.index_select(0, chosen) for column in columns))

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
            # Put in order once, so that a batch is a view.
            mixed = self.take(torch.from_numpy(rng.permutation(len(self))).to(self.x.device))
            yield from mixed._parts(-(-len(self) // size))

    def _parts(self, count: int) -> Iterator[Rows]:
        """So many parts of nearly equal size, one after another."""
        columns = (self.x, self.condition, self.weights)
        return map(Rows, *(column.tensor_split(count) for column in columns))
