"""Increments of Brownian motions over laid-out steps, and the areas that some methods need."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from odeseries.solvers.brownian import Brownian

__all__ = ["Area", "SteppedNoise", "Steps"]

Area = Literal["none", "space-time", "foster"]
SLACK = 1e-9


@dataclass(frozen=True)
class Steps:
    """Steps over the shares 0 to 1 of a span, one of which ends at every share asked for.

    Attributes
    ----------
    ends : list of float
        Distinct shares asked for.
    lengths : list of float
        Length of the steps between one of these and the next.
    index : list of int
        For every share asked for, which of ``ends`` it is.
    shares : list of float
        Ends of all steps.
    """

    ends: list[float]
    lengths: list[float]
    index: list[int]
    shares: list[float]

    @classmethod
    def of(cls, asked: Tensor, count: int) -> Steps:
        """Lay steps no longer than ``1 / count`` through sorted shares (n_times,)."""
        distinct, index = torch.unique_consecutive(asked, return_inverse=True)
        ends: list[float] = distinct.tolist()
        lengths, shares = [], ends[:1]
        for first, last in pairwise(ends):
            n = max(1, math.ceil((last - first) * count - SLACK))
            lengths.append((last - first) / n)
            shares += [first + k * (last - first) / n for k in range(1, n)] + [last]
        return cls(ends, lengths, index.tolist(), shares)

    @property
    def count(self) -> int:
        """Number of steps."""
        return len(self.shares) - 1

    def containing(self, first: float, last: float) -> int | None:
        """The step that goes from one share to the other; None if they are the same to rounding."""
        a, b = self._nearest(first), self._nearest(last)
        if b not in (a, a + 1):
            raise ValueError(f"the noise from {first} to {last} is not that of one step")
        return None if a == b else a

    def _nearest(self, share: float) -> int:
        right = min(max(bisect_left(self.shares, share), 1), self.count)
        nearer_left = share - self.shares[right - 1] < self.shares[right] - share
        return right - 1 if nearer_left else right


class SteppedNoise:
    r"""Brownian motions as torchsde asks for them, one step at a time, forward or backward.

    Besides the increment W over a step of length h, with Levy's areas where a method needs them:
    :math:`U = \int (W_s - W_0) ds = h (W / 2 + H)` with :math:`H \sim N(0, h / 12)`, and
    :math:`A \approx H W^T - W H^T + \tilde A`, where :math:`\tilde A` is antisymmetric and, given
    H, normal with the variance :math:`h^2 / 20 + h (H_i^2 + H_j^2) / 5`, which gives A its
    mean and variance given W and H, and so the variance :math:`h^2 / 4` over all. (torchsde's own
    approximation has too small a variance.)

    Parameters
    ----------
    keys : tuple of Tensor
        Seeds and directions of the rows, as ``Brownian`` takes them.
    n_noise : int
        Motions of a state.
    steps : Steps
        Steps.
    like : Tensor of shape (batch, ..., state_dim)
        States, of which the rows are flattened with all inner axes.
    area : {"none", "space-time", "foster"}
        Areas to be known, in torchsde's words.

    References
    ----------
    Foster, J., Lyons, T., Oberhauser, H. (2020). An Optimal Polynomial Approximation of Brownian
    Motion. SIAM Journal on Numerical Analysis 58(3). Space-time Levy area, and the conditional
    moments of Levy area.
    """

    def __init__(
        self, keys: tuple[Tensor, Tensor], n_noise: int, steps: Steps, like: Tensor, area: Area
    ) -> None:
        inner = like.shape[1:-1].numel()
        self.steps, self.levy_area_approximation = steps, area
        self.shape = torch.Size([len(like) * inner, n_noise])
        self.dtype, self.device = like.dtype, like.device
        seeds, forward = keys
        self._motions = Brownian(seeds, inner * n_noise, like.dtype, forward)
        self._pairs = Brownian(seeds, inner * n_noise**2, like.dtype, forward)

    def __call__(
        self,
        ta: Tensor,
        tb: Tensor,
        return_U: bool = False,  # noqa: N803  # torchsde's names
        return_A: bool = False,  # noqa: N803
    ) -> Tensor | tuple[Tensor, ...]:
        """Increment from ``ta`` to ``tb``, with the areas asked for."""
        step = self.steps.containing(float(ta), float(tb))
        h = 0.0 if step is None else self.steps.shares[step + 1] - self.steps.shares[step]
        w = math.sqrt(h) * self._normals(self._motions, step, 0)
        if not (return_U or return_A):
            return w
        mean = math.sqrt(h / 12) * self._normals(self._motions, step, 1)
        found = [w] + [h * (w / 2 + mean)] * return_U
        return (*found, self._between(w, mean, h, step)) if return_A else tuple(found)

    def _between(self, w: Tensor, mean: Tensor, h: float, step: int | None) -> Tensor:
        """Area between each two motions of a state, (n, n_noise, n_noise)."""
        free = self._normals(self._pairs, step, 2).reshape(*w.shape, -1).triu(1)
        square = mean[:, :, None] ** 2 + mean[:, None] ** 2
        spread = (h**2 / 20 + h / 5 * square).sqrt()
        outer = mean[:, :, None] * w[:, None]
        return outer - outer.mT + spread * (free - free.mT)

    def _normals(self, motions: Brownian, step: int | None, stream: int) -> Tensor:
        """Standard normal numbers of a step, (n, ...)."""
        return motions.increments(step or 0, 1, stream).reshape(self.shape[0], -1)
