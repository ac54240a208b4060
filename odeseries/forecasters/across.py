"""What all channels of a window together tell of each: a regression on their summaries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from odeseries.forecasters.regression import is_for_few
from odeseries.forecasters.summaries import N_SUMMARIES, summaries
from odeseries.windows import Batch

__all__ = ["Across"]

FOLDS = 5
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
FARTHEST = 5.0
"""In standard deviations of a column; what lies beyond tells no more."""


class Across(nn.Module):
    """Ridge regression of errors on the summaries of all channels, the same for a whole window.

    Each channel's penalty is the one with the least squared cross-validation error. The correction
    is shrunk by the square of the ratio of the standard error of its held-out gain to this gain, to
    nothing if need be. So channels with few values are left as they are, and so are those of which
    only a few extreme values are foretold better, and the others much worse.

    Parameters
    ----------
    n_channels : int
        Channels.

    References
    ----------
    Hoerl, A. E., Kennard, R. W. (1970). Ridge Regression. Technometrics 12, 55. Equation (2.1).
    James, W., Stein, C. (1961). Estimation with Quadratic Loss. Fourth Berkeley Symposium 1, 361
    (shrinkage by what is known of the size relative to its error).
    """

    weights: Tensor
    centre: Tensor
    size: Tensor
    bounds: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        n_columns = N_SUMMARIES * n_channels
        shape = (n_channels, n_columns)
        self.register_buffer("weights", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("centre", torch.zeros(n_columns, dtype=torch.float64))
        self.register_buffer("size", torch.ones(n_columns, dtype=torch.float64))
        self.register_buffer("bounds", torch.zeros(n_channels, 2, dtype=torch.float64))

    def forward(self, batch: Batch) -> Tensor:
        """Corrections, (batch, channels), no larger than in training."""
        found = self._columns(summaries(batch)) @ self.weights.T
        return found.clamp(self.bounds[:, 0], self.bounds[:, 1])

    @torch.no_grad()
    def fit(
        self, batches: Sequence[Batch], errors: Sequence[Tensor], seen: Sequence[Tensor]
    ) -> None:
        """Regress errors (batch, n_queries, channels) on summaries, where they are seen.

        Windows of which the same is seen are one: they are not apart in the cross-validation.
        """
        every = torch.cat([summaries(batch) for batch in batches])
        apart, group = torch.unique(every, dim=0, return_inverse=True)
        if len(apart) < 2 * FOLDS:
            return
        count = _by_group(group, [mask.double().sum(1) for mask in seen])
        total = _by_group(
            group, [(e * m).double().sum(1) for e, m in zip(errors, seen, strict=True)]
        )
        self.centre.copy_(apart.mean(0))
        spread = apart.std(0)
        self.size.copy_(torch.where(spread > 1e-9, spread, 1.0))
        columns = self._columns(apart)
        for channel, (n, sums) in enumerate(zip(count.T, total.T, strict=True)):
            asked = n > 0
            if int(asked.sum()) < 2 * FOLDS:
                continue
            x, n, sums = columns[asked], n[asked], sums[asked]
            self.weights[channel] = _ridge(x, n, sums)
            found = x @ self.weights[channel]
            self.bounds[channel] = torch.stack([found.min(), found.max()])

    def _columns(self, every: Tensor) -> Tensor:
        """Standardised summaries."""
        return ((every - self.centre) / self.size).clamp(-FARTHEST, FARTHEST)


def _ridge(x: Tensor, n: Tensor, sums: Tensor) -> Tensor:
    """Coefficients, shrunk, for windows of which each has n errors of such a sum."""
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    fold = shuffled % FOLDS
    parts = [_normal(x[fold == k], n[fold == k], sums[fold == k]) for k in range(FOLDS)]
    gram, right = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
    penalties = torch.tensor(PENALTIES, dtype=x.dtype, device=x.device)
    mean = (sums / n)[:, None]
    left = mean.expand(-1, len(penalties)).clone()
    for k, (own_gram, own_right) in enumerate(parts):
        value, vector = torch.linalg.eigh(gram - own_gram)
        along = (vector.T @ (right - own_right))[:, None]
        left[fold == k] -= (
            x[fold == k] @ vector @ (along / (value.clamp(min=0)[:, None] + penalties))
        )
    best = int((n[:, None] * left**2).sum(0).argmin())
    share = _lasting(n, mean[:, 0], left[:, best])
    if share == 0:
        return torch.zeros_like(right)
    penalised = gram + penalties[best] * torch.eye(len(gram)).to(gram)
    return share * torch.as_tensor(torch.linalg.solve(penalised, right))


def _lasting(n: Tensor, before: Tensor, after: Tensor) -> float:
    """Share of a correction to be made, by mean errors of n values each without it and with it.

    One whose gain in squares is within a standard error of nothing is not made, nor one that
    serves a few wild values at the cost of all others.
    """
    gain = n * (before**2 - after**2)
    ratio = float(gain.sum() / (gain.std() * len(gain) ** 0.5).clamp(min=1e-300))
    if ratio <= 1 or is_for_few(n, before, after):
        return 0.0
    return 1 - ratio**-2


def _by_group(group: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Sums (n_groups, channels) over the windows of each group."""
    values = torch.cat(list(parts))
    return values.new_zeros(int(group.max()) + 1, values.shape[1]).index_add(0, group, values)


def _normal(x: Tensor, n: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides of the normal equations."""
    return x.T @ (x * n[:, None]), x.T @ sums
