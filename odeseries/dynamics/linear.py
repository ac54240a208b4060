"""Linear dynamics with a closed-form flow: damped oscillators and decays."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.interfaces import Dynamics

__all__ = ["Linear"]


class Linear(Dynamics):
    r"""Complex-diagonal linear dynamics :math:`\dot z_k = (-\rho_k + i \omega_k) z_k`.

    Every pair of state coordinates is one complex mode with damping :math:`\rho_k > 0` and
    angular frequency :math:`\omega_k`, so that
    :math:`z_k(t_1) = e^{(-\rho_k + i \omega_k)(t_1 - t_0)} z_k(t_0)` at any time, without steps.
    The parameterisation is stable: no mode grows forward in time.

    Parameters
    ----------
    dim : int
        Dimension of the vector; the state has one coordinate more if it is odd.
    fastest : float, default=20.0
        Highest initial angular frequency, in radians per unit of model time.

    References
    ----------
    Orvieto, A. et al. (2023). Resurrecting Recurrent Neural Networks for Long Sequences. ICML.
    Section 3.2, diagonal parameterisation (there in discrete time).

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import Linear
    >>> flow = Linear(4).flow(torch.ones(2, 4), torch.zeros(2, 1), torch.ones(2, 1))
    >>> flow.shape
    torch.Size([2, 4])
    """

    closed_form: ClassVar[bool] = True

    def __init__(self, dim: int, *, fastest: float = 20.0) -> None:
        super().__init__(dim)
        modes = self.state_dim // 2
        slow = modes // 4
        frequency = torch.zeros(modes)
        if modes > slow:
            frequency[slow:] = torch.logspace(
                -0.5, float(torch.tensor(fastest).log10()), modes - slow
            )
        damping = torch.logspace(-1.5, 0.5, modes)[torch.arange(modes) * 7 % modes]
        self.frequency = nn.Parameter(frequency)
        self.raw_damping = nn.Parameter(torch.log(torch.expm1(damping)))

    @property
    def state_dim(self) -> int:
        """Dimension of the state: ``dim``, made even."""
        return self.dim + self.dim % 2

    @property
    def damping(self) -> Tensor:
        """Damping of every mode, positive, shape (state_dim / 2,)."""
        return functional.softplus(self.raw_damping)

    def lift(self, z: Tensor) -> Tensor:
        """Append a zero where the dimension is odd."""
        return functional.pad(z, (0, self.state_dim - self.dim))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state."""
        del t, inputs
        real, imaginary = state.chunk(2, -1)
        return torch.cat(
            [
                -self.damping * real - self.frequency * imaginary,
                self.frequency * real - self.damping * imaginary,
            ],
            -1,
        )

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor) -> Tensor:
        """Exact state at ``t1``: every mode turned and damped."""
        elapsed = t1 - t0
        real, imaginary = state.chunk(2, -1)
        decay = torch.exp(-self.damping * elapsed)
        cos, sin = torch.cos(self.frequency * elapsed), torch.sin(self.frequency * elapsed)
        return torch.cat(
            [decay * (cos * real - sin * imaginary), decay * (sin * real + cos * imaginary)], -1
        )

    @torch.no_grad()
    def start_at(self, frequencies: Tensor) -> None:
        """Give the last modes the frequencies found in the data, nearly undamped."""
        count = min(len(frequencies), len(self.frequency) // 2)
        if count:
            self.frequency[-count:] = frequencies[:count].to(self.frequency)
            self.raw_damping[-count:] = -3.0
