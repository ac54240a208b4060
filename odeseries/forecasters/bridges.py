"""Normal marginals of a path that is pinned, more or less, at knots."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bridges"]


@dataclass(frozen=True, eq=False)
class Bridges:
    """Marginals between the knots.

    Attributes
    ----------
    knots : Tensor of shape (batch, n + 1)
        Rising times, the first 0.
    valid : Tensor of bool, shape (batch, n)
        Gaps that are not padding.
    mean, std : Tensor of shape (batch, n + 1, dim)
        At the knots.
    bend, variance : Tensor of shape (batch, n, dim)
        Of the bridges between them, per unit of time.
    """

    knots: Tensor
    valid: Tensor
    mean: Tensor
    std: Tensor
    bend: Tensor
    variance: Tensor

    def moving(self, share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean, standard deviation and their derivatives in every gap, at shares (batch, n, 1)."""
        gap = self.knots.diff(dim=1)[..., None]
        gap = torch.where(self.valid[..., None], gap, 1)
        return _bridged(gap, share, self.mean, self.std, self.bend, self.variance)

    def at(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation at times (batch, n_times) up to the last knot."""
        last = (self.valid.sum(1, keepdim=True) - 1).clamp(min=0)
        piece = torch.searchsorted(self.knots.contiguous(), times.contiguous(), right=True) - 1
        piece = torch.minimum(piece.clamp(min=0), last)
        low, high = self.knots.gather(1, piece), self.knots.gather(1, piece + 1)
        gap = torch.where(high > low, high - low, 1)[..., None]
        share = (((times - low)[..., None]) / gap).clamp(0, 1)
        parts = [_ends(x, piece) for x in (self.mean, self.std)]
        rest = [_gathered(x, piece) for x in (self.bend, self.variance)]
        mean, std, _, _ = _bridged(gap, share, *parts, *rest)
        return mean, std


def _bridged(
    gap: Tensor,
    share: Tensor,
    mean: Tensor,
    std: Tensor,
    bend: Tensor,
    variance: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, standard deviation and their derivatives at shares of gaps between two ends each."""
    (m0, m1), (v0, v1) = (_pair(mean, gap), _pair(std**2, gap))
    rest, inner, turn = 1 - share, share * (1 - share), 1 - 2 * share
    m = rest * m0 + share * m1 + inner * gap * bend
    s = (rest**2 * v0 + share**2 * v1 + inner * gap * variance).sqrt()
    velocity = (m1 - m0) / gap + turn * bend
    widening = 2 * (share * v1 - rest * v0) / gap + turn * variance
    return m, s, velocity, widening / (2 * s)


def _pair(x: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Both ends of every gap: neighbours of (batch, n + 1, dim), or given as (2, ...)."""
    return (x[0], x[1]) if x.ndim > gap.ndim else (x[:, :-1], x[:, 1:])


def _ends(x: Tensor, piece: Tensor) -> Tensor:
    """Values at the start and at the end of pieces, (2, batch, n_times, dim)."""
    return torch.stack([_gathered(x, piece), _gathered(x, piece + 1)])


def _gathered(x: Tensor, piece: Tensor) -> Tensor:
    return x.gather(1, piece[..., None].expand(-1, -1, x.shape[-1]))
