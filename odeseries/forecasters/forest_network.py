"""Forecasts by forests of random trees, in the form of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from odeseries.forecasters.baseline_network import BaselineNetwork
from odeseries.forecasters.columns import Columns, Examples, drawn, is_ahead
from odeseries.forecasters.regression import n_different
from odeseries.metrics import LEVELS
from odeseries.model import ClosedForm
from odeseries.trees import QuantileForest
from odeseries.windows import Batch

__all__ = ["ForestNetwork"]

FEWEST_TARGETS = 50
NUMBERS_PER_WINDOW = 10**8 / 2048
"""In the columns of all forests, so that hundreds of channels take minutes, not hours."""


class ForestNetwork(ClosedForm):
    """The nearest value, and a forest for each channel that foretells the change from it.

    For what lies between or before the observations, and for a channel with few targets, the
    nearest value has the errors that it had in training.

    Parameters
    ----------
    n_channels : int
        Channels.
    n_trees : int
        Trees of a forest.
    n_windows : int
        Windows that they are grown from, at most.
    with_summaries : bool
        Whether they see summaries of all channels.
    """

    levels = tuple(LEVELS)

    def __init__(
        self, n_channels: int, n_trees: int, n_windows: int, *, with_summaries: bool
    ) -> None:
        super().__init__()
        self.n_start_windows, self.with_summaries = n_windows, with_summaries
        self.last = BaselineNetwork("last", n_channels, 0)
        seeds = torch.randint(2**31 - 1, (n_channels,)).tolist()
        self.grown = nn.ModuleList(QuantileForest(n_trees, seed) for seed in seeds)

    @property
    def forests(self) -> list[QuantileForest]:
        """The forest of every channel."""
        return cast(list[QuantileForest], list(self.grown))

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Grow the forests."""
        self.last.start(batches)
        examples = Examples(batches, with_summaries=self.with_summaries)
        if not examples.batches:
            return
        changes = [batch.targets - self.last.guess(batch)[0] for batch in examples.batches]
        numbers = NUMBERS_PER_WINDOW * self.n_start_windows
        for channel, forest in enumerate(self.forests):
            x, y = examples.columns(channel), examples.values(channel, changes)
            most = max(int(numbers // (x.shape[1] * len(self.grown))), FEWEST_TARGETS)
            if n_different(x, y) >= FEWEST_TARGETS:
                kept = drawn(len(y), most, forest.seed).to(y.device)
                forest.fit(x[kept], y[kept])

    @torch.no_grad()
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest value and the quantiles of its change."""
        found, age = self.last.quantiles(batch, levels)
        chosen = is_ahead(batch)
        ahead = batch.take(chosen)
        if not len(ahead.asked):
            return found, age
        guess = self.last.guess(ahead)[0]
        columns = Columns(ahead, with_summaries=self.with_summaries)
        better = found[chosen]
        for channel, forest in enumerate(self.forests):
            if forest.is_grown:
                change = forest.quantiles(columns(channel).flatten(0, 1), levels)
                shape = (*guess.shape[:2], len(levels))
                better[..., channel, :] = guess[..., channel, None] + change.reshape(shape)
        found[chosen] = better
        return found, age
