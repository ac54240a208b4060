"""Forecasts by boosted trees, from a regression and from the level, in the form of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from odeseries.anchoring import moments, nearest
from odeseries.forecasters.baseline_network import MANY_WINDOWS, BaselineNetwork, errors_of
from odeseries.forecasters.columns import Columns, Examples, drawn, is_ahead
from odeseries.forecasters.summaries import summaries
from odeseries.trees import BoostedTrees
from odeseries.windows import Batch

__all__ = ["BoostedNetwork"]

FEWEST_TARGETS = 100
FEWEST_GROUPS = 2
"""Of targets from which different things are seen: trees that see one are judged by another."""
MOST_TARGETS = 20_000
NUMBERS = 4 * 10**8
"""In the columns of all channels, so that hundreds of channels take minutes, not hours."""
COST = 1.1
"""How many times the regression's mean absolute error that of trees on unseen targets may be."""


class BoostedNetwork(BaselineNetwork):
    """The mean of two forecasts of each channel by boosted trees.

    One begins with the regression, and its trees foretell what it leaves; the other one begins
    halfway between the last value and the mean of what is seen, and its trees foretell the change.
    The quantiles are those of the errors of trees that had not seen the targets. What lies
    between or before the observations is left to the regression, and so is a channel with few
    targets, or with all of them after one history, or one where trees foretell a few wild values at
    the cost of all others.

    Parameters
    ----------
    n_channels, n_columns : int
        As `BaselineNetwork` takes them.
    n_rounds : int
        Trees of either forecast of a channel.
    with_summaries : bool
        Whether they see summaries of all channels.
    """

    def __init__(
        self, n_channels: int, n_columns: int, n_rounds: int, *, with_summaries: bool
    ) -> None:
        super().__init__("channels" if n_channels > 1 else "lags", n_channels, n_columns)
        self.n_start_windows, self.with_summaries = MANY_WINDOWS, with_summaries
        seeds = torch.randint(2**31 - 1, (n_channels, 2)).tolist()
        pairs = [[BoostedTrees(n_rounds, seed) for seed in pair] for pair in seeds]
        self.grown = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)

    @property
    def trees(self) -> list[list[BoostedTrees]]:
        """The trees of both forecasts of every channel."""
        return [list(cast(Iterable[BoostedTrees], pair)) for pair in self.grown]

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Fit the regression, grow the trees, and tabulate the errors of those that are grown."""
        super().start(batches)
        examples = Examples(batches, with_summaries=self.with_summaries)
        if not examples.batches:
            return
        seen = _Seen.of(examples.batches, [self.guess(batch) for batch in examples.batches])
        others = [batch.take(~is_ahead(batch)) for batch in batches]
        elsewhere = [(batch, self.guess(batch)) for batch in others if len(batch.asked)]
        for channel in range(len(self.trees)):
            unseen = self._grow(channel, examples, seen)
            if unseen is not None:
                self.tabulate(channel, [unseen, *(errors_of(channel, *one) for one in elsewhere)])

    def _grow(
        self, channel: int, examples: Examples, seen: _Seen
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Grow a channel's trees, if they help; forecasts had they not seen them, ages, errors."""
        x, trees = examples.columns(channel), self.trees[channel]
        if len(x) < FEWEST_TARGETS:
            return None
        numbers = x.shape[1] * len(self.grown)
        most = min(MOST_TARGETS, max(NUMBERS // numbers, FEWEST_TARGETS))
        kept = drawn(len(x), most, trees[0].seed).to(x.device)
        x = x[kept]
        parts = (seen.truth, seen.line, seen.level, seen.age, seen.group)
        truth, *begun, age, group = (examples.values(channel, part)[kept] for part in parts)
        if len(torch.unique(group)) < FEWEST_GROUPS:
            return None
        ends = [
            start + each.cross_fitted(x, truth - start, group)
            for each, start in zip(trees, begun, strict=True)
        ]
        forecast = torch.stack(ends).mean(0)
        if (truth - forecast).abs().mean() > COST * (truth - begun[0]).abs().mean():
            return None
        for each, start in zip(trees, begun, strict=True):
            each.fit(x, truth - start)
        return forecast, age, truth - forecast

    def guess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Guess and age at every query, (batch, n_queries, channels)."""
        value, age = super().guess(batch)
        chosen = is_ahead(batch)
        ahead = batch.take(chosen)
        if len(ahead.asked):
            value[chosen] = self._forecast(ahead, value[chosen])
        return value, age

    def _forecast(self, ahead: Batch, line: Tensor) -> Tensor:
        """Mean of both forecasts, (batch, n_queries, channels); the line where there are none."""
        columns = Columns(ahead, with_summaries=self.with_summaries)
        begun, out = (line, _level(ahead)), line.clone()
        for channel, trees in enumerate(self.trees):
            if trees[0].is_grown:
                x = columns(channel).flatten(0, 1)
                ends = [
                    start[..., channel] + each.predict(x).view(line.shape[:2])
                    for each, start in zip(trees, begun, strict=True)
                ]
                out[..., channel] = torch.stack(ends).mean(0)
        return out


@dataclass(frozen=True, eq=False)
class _Seen:
    """What trees are grown from beside their columns, (batch, n_queries, channels) a batch.

    Attributes
    ----------
    truth : list of Tensor
        The targets.
    line, level : list of Tensor
        The regression, and the middle of the last value and the mean.
    age : list of Tensor
        Age of the last value.
    group : list of Tensor
        A number, the same for all windows of which the same is seen.
    """

    truth: list[Tensor]
    line: list[Tensor]
    level: list[Tensor]
    age: list[Tensor]
    group: list[Tensor]

    @classmethod
    def of(cls, batches: Sequence[Batch], guesses: Sequence[tuple[Tensor, Tensor]]) -> _Seen:
        """Of batches of forecasts, and guesses and ages of the regression."""
        line, age = (list(part) for part in zip(*guesses, strict=True))
        levels = [_level(batch) for batch in batches]
        return cls([batch.targets for batch in batches], line, levels, age, _groups(batches))


def _level(ahead: Batch) -> Tensor:
    """The middle of the last value and the mean of what is seen, (batch, n_queries, channels)."""
    value = nearest(ahead)[0].double()
    count, mean, _ = moments(ahead)
    return torch.where(count[:, None] > 0, 0.5 * (value + mean[:, None].double()), 0.0)


def _groups(batches: Sequence[Batch]) -> list[Tensor]:
    """A number for every window, the same for all of which the same is seen."""
    told = torch.cat([summaries(batch) for batch in batches])
    number = torch.unique(told, dim=0, return_inverse=True)[1]
    parts = number.split([len(batch.asked) for batch in batches])
    return [
        part[:, None, None].expand_as(batch.targets)
        for part, batch in zip(parts, batches, strict=True)
    ]
