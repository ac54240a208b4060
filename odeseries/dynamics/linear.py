"""Linear dynamics with a closed-form flow: damped oscillators and decays."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.interfaces import Dynamics

__all__ = ["Linear"]

SMALL = 1e-3
"""Exponents below which a quotient is its series, of which the terms left out are no digit."""


class Linear(Dynamics):
    r"""Complex-diagonal linear dynamics :math:`\dot z_k = \lambda_k z_k + b_k^\top u`.

    Every pair of state coordinates is one complex mode with
    :math:`\lambda_k = -\rho_k + i \omega_k`, damping :math:`\rho_k > 0` and angular frequency
    :math:`\omega_k`. While the inputs :math:`u` do not change, without steps and for any
    :math:`h`,

    .. math:: z_k(t_0 + h) = e^{\lambda_k h} z_k(t_0)
              + \lambda_k^{-1} (e^{\lambda_k h} - 1) b_k^\top u.

    The parameterisation is stable: no mode grows forward in time, unless it is driven.

    Parameters
    ----------
    dim : int
        Dimension of the vector; the state has one coordinate more if it is odd.
    n_inputs : int, default=0
        Number of known inputs :math:`u`.
    fastest : float, default=20.0
        Highest initial angular frequency, in radians per unit of model time.

    References
    ----------
    Orvieto, A. et al. (2023). Resurrecting Recurrent Neural Networks for Long Sequences. ICML.
    Section 3.2, diagonal parameterisation (there in discrete time). Gu, A., Goel, K., Re, C.
    (2022). Efficiently Modeling Long Sequences with Structured State Spaces. ICLR. Equation (1)
    (driven; solved here by variation of constants).

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import Linear
    >>> flow = Linear(4).flow(torch.ones(2, 4), torch.zeros(2, 1), torch.ones(2, 1))
    >>> flow.shape
    torch.Size([2, 4])
    """

    takes_inputs: ClassVar[bool] = True
    closed_form = True

    def __init__(self, dim: int, *, n_inputs: int = 0, fastest: float = 20.0) -> None:
        super().__init__(dim, n_inputs=n_inputs)
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
        self.drive = nn.Linear(n_inputs, self.state_dim, bias=False) if n_inputs else None

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
        del t
        own = _times(-self.damping, self.frequency, state)
        return own if self.drive is None else own + self.drive(self.checked_inputs(inputs))

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Exact state at ``t1``: every mode turned and damped, and driven by constant inputs."""
        real, imaginary, driven = self._parts(t1 - t0, inputs)
        own = _times(real, imaginary, state)
        return own if driven is None else own + driven

    def flow_through(self, state: Tensor, times: Tensor, inputs: Tensor) -> Tensor:
        """Exact states at successive times: all turns and drives at once, then their sums."""
        is_own = type(self).flow is Linear.flow
        if not is_own or self.frequency.dtype not in (torch.float32, torch.float64):
            return super().flow_through(state, times, inputs)
        real, imaginary, driven = self._parts(times.diff(dim=1), inputs)
        assert driven is not None
        # What autocast has made half as precise has no complex numbers.
        driven = driven.to(real.dtype)
        state = state.to(torch.promote_types(real.dtype, state.dtype))
        turns, pushes = torch.complex(real, imaginary), torch.complex(*driven.chunk(2, -1))
        modes = [torch.complex(*state.chunk(2, -1))[:, 0]]
        for turn, push in zip(turns.unbind(1), pushes.unbind(1), strict=True):
            modes.append(torch.addcmul(push, turn, modes[-1]))
        states = torch.stack(modes, 1)
        return torch.cat([states.real, states.imag], -1)

    def _parts(
        self, elapsed: Tensor, inputs: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What a state is multiplied by, as complex numbers, and what is added if it is driven."""
        turn = self.frequency * elapsed
        decay, cos, sin = torch.exp(-self.damping * elapsed), torch.cos(turn), torch.sin(turn)
        if self.drive is None:
            return decay * cos, decay * sin, None
        # exp(lambda h) - 1 without cancellation where h is small, and then over lambda.
        real = torch.expm1(-self.damping * elapsed) * cos - 2 * torch.sin(turn / 2) ** 2
        gain = _over(real, decay * sin, -self.damping, self.frequency, elapsed)
        return decay * cos, decay * sin, _times(*gain, self.drive(self.checked_inputs(inputs)))

    @torch.no_grad()
    def start_at(self, frequencies: Tensor) -> None:
        """Give the last modes the frequencies found in the data, nearly undamped."""
        count = min(len(frequencies), len(self.frequency) // 2)
        if count:
            self.frequency[-count:] = frequencies[:count].to(self.frequency)
            self.raw_damping[-count:] = -3.0


def _times(real: Tensor, imaginary: Tensor, state: Tensor) -> Tensor:
    """Product of complex numbers, one a mode, and of states that hold real parts first."""
    a, b = state.chunk(2, -1)
    return torch.cat([real * a - imaginary * b, real * b + imaginary * a], -1)


def _over(
    real: Tensor, imaginary: Tensor, a: Tensor, b: Tensor, elapsed: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Quotient :math:`(e^{\lambda h} - 1) / \lambda` by :math:`\lambda = a + bi`, which may be 0.

    For small :math:`z = \lambda h` it is :math:`h (1 + z/2 (1 + z/3 (1 + z/4 (1 + z/5))))`.
    """
    x, y = a * elapsed, b * elapsed
    small = x.square() + y.square() < SMALL**2
    size = torch.where(small, 1, a.square() + b.square())
    quotient = ((real * a + imaginary * b) / size, (imaginary * a - real * b) / size)
    # What is not chosen is finite, and so are its gradients.
    x, y = torch.where(small, x, 0), torch.where(small, y, 0)
    p, q = torch.ones_like(x), torch.zeros_like(y)
    for n in (5, 4, 3, 2):
        p, q = 1 + (x * p - y * q) / n, (x * q + y * p) / n
    series = (elapsed * p, elapsed * q)
    first, second = (torch.where(small, *pair) for pair in zip(series, quotient, strict=True))
    return first, second
