"""Brownian motion of every row, known at any share of any step of its grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from odeseries.solvers.philox import normals

__all__ = ["DEPTH", "Brownian"]

DEPTH = 12
"""Halvings of a step; times closer than a step's 4096th have too smooth a path between them."""
BLOCK = 1 << 18
"""Numbers that are drawn at once, about."""


class Brownian:
    r"""Brownian motions over grids of steps of length 1, one key per row.

    The path is a function of the key alone: the increments of the steps are independent, and
    within a step the path is found by halving it, each middle given by the ends of its half,

    .. math:: W(m) \mid W(a), W(b) \sim N((W(a) + W(b)) / 2, (b - a) / 4),

    a fixed number of times whatever the span, and once more at the time itself. The law at a
    time is exact, and so is that of any increments, but for those shorter than the last halves.

    Parameters
    ----------
    seeds : Tensor of int64, shape (batch,)
        Keys.
    size : int
        Number of independent motions of a row.
    dtype : torch.dtype
        Of the results.
    forward : Tensor of bool, shape (batch,)
        Rows that go back in time have a motion independent of the one forward.

    References
    ----------
    Kloeden, P. E., Platen, E. (1992). Numerical Solution of Stochastic Differential Equations.
    Springer. Section 2.4 (bridge).
    """

    def __init__(self, seeds: Tensor, size: int, dtype: torch.dtype, forward: Tensor) -> None:
        self.seeds, self.size, self.dtype = seeds, size, dtype
        self.direction = (~forward).long()[:, None]

    def increments(self, first: int, count: int, stream: int = 0) -> Tensor:
        """``W(k + 1) - W(k)`` for ``count`` steps from the first, (batch, count, size).

        Another stream has numbers that are independent of these.
        """
        steps = torch.arange(first, first + count, device=self.seeds.device)
        return self._draw(steps.expand(len(self.seeds), -1), torch.zeros_like(steps), stream)

    def within(self, step: Tensor, share: Tensor) -> Tensor:
        """``W(step + share) - W(step)``, of shape (batch, n_times, size).

        Parameters
        ----------
        step : Tensor of int64, shape (batch, n_times)
            Steps.
        share : Tensor of shape (batch, n_times)
            Shares of the steps, at least 0 and below 1.
        """
        width = max(1, BLOCK // max(1, len(self.seeds) * (DEPTH + 2) * self.size))
        pieces = [
            self._bridged(step[:, i : i + width], share[:, i : i + width])
            for i in range(0, step.shape[1], width)
        ]
        return torch.cat(pieces, 1)

    def block(self) -> int:
        """Number of steps whose increments are worth drawing at once."""
        return max(1, min(1024, BLOCK // max(1, len(self.seeds) * self.size)))

    def _bridged(self, step: Tensor, share: Tensor) -> Tensor:
        levels = torch.arange(DEPTH + 1, device=share.device)
        scaled = share.double()[..., None] * 2.0**levels
        cell = scaled.floor()
        # Nodes as in a heap: 0 is the whole step, 1 its middle, 2 and 3 those of its halves, ...
        node = torch.cat([torch.zeros_like(step)[..., None], 2**levels + cell.long()], -1)
        where = step[..., None].expand_as(node).flatten(1)
        drawn = self._draw(where, node.flatten(1)).reshape(*node.shape, self.size)
        left, right = torch.zeros_like(drawn[:, :, 0]), drawn[:, :, 0]
        for level in range(DEPTH):
            middle = (left + right) / 2 + math.sqrt(2.0**-level) / 2 * drawn[:, :, level + 1]
            beyond = (cell[..., level + 1] % 2 == 1)[..., None]
            left, right = torch.where(beyond, middle, left), torch.where(beyond, right, middle)
        rest = (scaled - cell)[..., -1:].to(self.dtype)
        spread = (rest * (1 - rest)).sqrt() * math.sqrt(2.0**-DEPTH)
        return left + rest * (right - left) + spread * drawn[:, :, -1]

    def _draw(self, step: Tensor, node: Tensor, stream: int = 0) -> Tensor:
        """Numbers (batch, n_places, size) that belong to nodes of steps."""
        sort = (2 * stream + self.direction).expand_as(step)
        place = torch.stack([step, node.expand_as(step), sort])
        return normals(self.seeds, place, self.size, self.dtype)
