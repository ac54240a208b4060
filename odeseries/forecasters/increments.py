r"""How a diffusion and the noise of observations begin: from single increments.

Between two observations a short time :math:`\Delta` apart a coordinate moves by about
:math:`N(0, g(x)^2 \Delta + 2 s^2)`, whatever the drift, if :math:`s` is the standard deviation of
an observation. The likelihood of the increments, each taken by itself, needs no posterior and no
path, so that the diffusion starts where it can: also one that grows with the state.

References
----------
Kessler, M. (1997). Estimation of an Ergodic Diffusion from Discrete Observations. Scandinavian
Journal of Statistics 24, 211. Section 3 (the contrast, here of the first order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from odeseries.interfaces import Dynamics
from odeseries.windows import Batch, Side

__all__ = ["Increments", "explain"]

N_STEPS, RATE = 100, 0.05
FEWEST, MOST = 20, 1024


@dataclass(frozen=True, eq=False)
class Increments:
    """Of values that were observed in all channels, one after the other.

    Attributes
    ----------
    values, change : Tensor of shape (n, channels)
        The earlier values, and those after them less these.
    gap : Tensor of shape (n, 1)
        Time between them.
    """

    values: Tensor
    change: Tensor
    gap: Tensor

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Increments:
        """All of the rows that are seen."""
        parts = [_increments(side) for batch in batches for side in batch.sides()]
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def thinned(self) -> Increments:
        """Some of them, evenly, so that there are not too many."""
        some = slice(None, None, -(-len(self.gap) // MOST))
        return Increments(self.values[some], self.change[some], self.gap[some])

    @property
    def suffice(self) -> bool:
        """Whether there are enough of them to learn from, and every channel varies."""
        return len(self.gap) >= FEWEST and bool(self.values.std(0).gt(0).all())


@torch.enable_grad()
def explain(
    dynamics: Dynamics, states: Tensor, change: Tensor, gap: Tensor, log_noise: Tensor
) -> Tensor:
    """Let the diffusion be such that it makes increments likely, and find their noise.

    Parameters
    ----------
    dynamics : Dynamics
        Stochastic; its diffusion is changed in place.
    states : Tensor of shape (n, state_dim)
        At the earlier of two times.
    change : Tensor of shape (n, k)
        Increments of the first coordinates.
    gap : Tensor of shape (n, 1)
        Time between them.
    log_noise : Tensor of shape (k,)
        Logarithm of the standard deviation of an observation of these coordinates, to begin with.

    Returns
    -------
    Tensor of shape (k,)
        That logarithm as found.
    """
    log_noise = log_noise.clone().requires_grad_()
    inputs = states.new_zeros(len(states), dynamics.n_inputs) if dynamics.n_inputs else None
    optimiser = torch.optim.Adam([*dynamics.parameters(), log_noise], RATE)
    for _ in range(N_STEPS):
        optimiser.zero_grad()
        diffusion = dynamics.diffusion(gap, states, inputs)
        square = diffusion.square() if diffusion.ndim == 2 else diffusion.square().sum(-1)
        variance = square[:, : change.shape[1]] * gap + 2 * torch.exp(2 * log_noise)
        loss = (change.square() / variance + torch.log(variance)).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimiser.step()
    optimiser.zero_grad()
    return log_noise.detach()


def _increments(side: Side) -> tuple[Tensor, Tensor, Tensor]:
    """Earlier values, changes and gaps of one side."""
    both = side.mask[:, 1:].bool().all(-1) & side.mask[:, :-1].bool().all(-1)
    change = side.values.diff(dim=1)[both]
    return side.values[:, :-1][both], change, side.gaps[:, 1:][both][:, None]
