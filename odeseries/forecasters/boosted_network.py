"""Forecasts by a regression and boosted trees of what it leaves, in the form of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from odeseries.forecasters.baseline_network import MANY_WINDOWS, BaselineNetwork, errors_of
from odeseries.forecasters.columns import Columns, Examples, drawn, is_ahead
from odeseries.forecasters.summaries import summaries
from odeseries.trees import BoostedTrees
from odeseries.windows import Batch

__all__ = ["BoostedNetwork"]

FEWEST_TARGETS = 100
MOST_TARGETS = 20_000
NUMBERS = 4 * 10**8
"""In the columns of all channels, so that hundreds of channels take minutes, not hours."""
COST = 1.1
"""How many times the regression's mean absolute error that of trees on unseen targets may be."""


class BoostedNetwork(BaselineNetwork):
    """The regression, and for each channel boosted trees of what it leaves of forecasts.

    The quantiles are those of the errors of trees that had not seen the targets. What lies
    between or before the observations is left to the regression, and so is a channel with few
    targets, or one where trees foretell a few wild values at the cost of all others.

    Parameters
    ----------
    n_channels, n_columns : int
        As `BaselineNetwork` takes them.
    n_rounds : int
        Trees of a channel.
    with_summaries : bool
        Whether they see summaries of all channels.
    """

    def __init__(
        self, n_channels: int, n_columns: int, n_rounds: int, *, with_summaries: bool
    ) -> None:
        super().__init__("channels" if n_channels > 1 else "lags", n_channels, n_columns)
        self.n_start_windows, self.with_summaries = MANY_WINDOWS, with_summaries
        seeds = torch.randint(2**31 - 1, (n_channels,)).tolist()
        self.grown = nn.ModuleList(BoostedTrees(n_rounds, seed) for seed in seeds)

    @property
    def trees(self) -> list[BoostedTrees]:
        """The trees of every channel."""
        return cast(list[BoostedTrees], list(self.grown))

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Fit the regression, grow the trees, and tabulate the errors of those that are grown."""
        super().start(batches)
        examples = Examples(batches, with_summaries=self.with_summaries)
        if not examples.batches:
            return
        guesses = [self.guess(batch) for batch in examples.batches]
        groups = _groups(examples.batches)
        others = [batch.take(~is_ahead(batch)) for batch in batches]
        elsewhere = [(batch, self.guess(batch)) for batch in others if len(batch.asked)]
        for channel in range(len(self.trees)):
            unseen = self._grow(channel, examples, guesses, groups)
            if unseen is not None:
                self.tabulate(channel, [unseen, *(errors_of(channel, *one) for one in elsewhere)])

    def _grow(
        self,
        channel: int,
        examples: Examples,
        guesses: list[tuple[Tensor, Tensor]],
        groups: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Grow a channel's trees, if they help; forecasts had they not seen them, ages, errors."""
        x = examples.columns(channel)
        if len(x) < FEWEST_TARGETS:
            return None
        trees, numbers = self.trees[channel], x.shape[1] * len(self.grown)
        most = min(MOST_TARGETS, max(NUMBERS // numbers, FEWEST_TARGETS))
        kept = drawn(len(x), most, trees.seed).to(x.device)
        targets = [batch.targets for batch in examples.batches]
        parts = (targets, *zip(*guesses, strict=True), groups)
        truth, guess, age, group = (examples.values(channel, part)[kept] for part in parts)
        x, left = x[kept], truth - guess
        guess = guess + trees.cross_fitted(x, left, group)
        if (truth - guess).abs().mean() > COST * left.abs().mean():
            return None
        trees.fit(x, left)
        return guess, age, truth - guess

    def guess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Guess and age at every query, (batch, n_queries, channels)."""
        value, age = super().guess(batch)
        chosen = is_ahead(batch)
        ahead = batch.take(chosen)
        if len(ahead.asked):
            value[chosen] += self._corrections(ahead)
        return value, age

    def _corrections(self, ahead: Batch) -> Tensor:
        """What the trees foretell of forecasts, (batch, n_queries, channels)."""
        columns = Columns(ahead, with_summaries=self.with_summaries)
        out = torch.zeros_like(ahead.targets, dtype=torch.float64)
        for channel, trees in enumerate(self.trees):
            if trees.is_grown:
                found = trees.predict(columns(channel).flatten(0, 1))
                out[..., channel] = found.view(out.shape[:2])
        return out


def _groups(batches: Sequence[Batch]) -> list[Tensor]:
    """A number for every window, the same for all of which the same is seen."""
    told = torch.cat([summaries(batch) for batch in batches])
    number = torch.unique(told, dim=0, return_inverse=True)[1]
    parts = number.split([len(batch.asked) for batch in batches])
    return [
        part[:, None, None].expand_as(batch.targets)
        for part, batch in zip(parts, batches, strict=True)
    ]
