"""Laws of paths: divergences against closed forms, and drifts that follow from marginals."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from odeseries.dynamics import SDE
from odeseries.errors import PluginError
from odeseries.interfaces import Dynamics
from odeseries.path_laws import (
    ito_drift,
    matched_drift,
    path_divergence,
    require_regular,
    whitened,
)


class OrnsteinUhlenbeck(Dynamics):
    """``dX = -rate X dt + size dW``, with diagonal noise or the same as a matrix."""

    def __init__(self, rate: float, size: float, noise_type: str = "diagonal") -> None:
        super().__init__(1)
        self.rate, self.size, self.noise_type = rate, size, noise_type

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift."""
        return -self.rate * state

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion."""
        size = torch.full_like(state, self.size)
        return size if self.noise_type == "diagonal" else torch.diag_embed(size)


class Geometric(Dynamics):
    """``dX = growth X dt + size X dW``."""

    noise_type = "diagonal"
    growth: ClassVar[float] = 0.2
    size: ClassVar[float] = 0.5

    def __init__(self, sde_type: str = "ito") -> None:
        super().__init__(1)
        self.sde_type = sde_type

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift."""
        return self.growth * state

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion."""
        return self.size * state


@pytest.mark.parametrize("kind", ["diagonal", "additive"])
@pytest.mark.parametrize("span", [0.5, 2.0])
def test_divergence_of_two_ornstein_uhlenbeck_laws(kind: str, span: float) -> None:
    r"""It is :math:`((a - b) / \sigma)^2 / 2 \int E X^2 dt` with the moments of the first."""
    a, b, size, x0 = 1.0, 0.2, 0.7, 1.5
    posterior, prior = OrnsteinUhlenbeck(a, size, kind), OrnsteinUhlenbeck(b, size, kind)
    times = torch.tensor([0.0, span])
    _, found = path_divergence(
        posterior,
        prior,
        torch.full((4000, 1), x0),
        times,
        solver="euler_maruyama",
        seed=0,
        step=0.01,
    )
    stationary = size**2 / (2 * a)
    decayed = (1 - math.exp(-2 * a * span)) / (2 * a)
    second_moment = stationary * span + (x0**2 - stationary) * decayed
    exact = ((a - b) / size) ** 2 / 2 * second_moment
    error = 4 * float(found[:, 1].std()) / math.sqrt(4000)
    assert float(found[:, 1].mean()) == pytest.approx(exact, abs=error + 0.01 * exact)


@pytest.mark.parametrize("kind", ["diagonal", "additive", "general"])
def test_a_law_does_not_diverge_from_itself(kind: str) -> None:
    """Exactly, on every path, and the states are those of the equation."""
    torch.manual_seed(0)
    dynamics = SDE(2, hidden=8, noise_type=kind)
    times = torch.tensor([0.0, 0.3, 1.0]).expand(4, -1)
    states, found = path_divergence(
        dynamics, dynamics, torch.randn(4, 2), times, solver="euler_maruyama", seed=0, step=0.1
    )
    assert states.shape == (4, 3, 2)
    assert torch.equal(found, torch.zeros(4, 3))


@pytest.mark.parametrize("kind", ["diagonal", "additive"])
def test_the_drift_of_given_normal_marginals(kind: str) -> None:
    """Those of an Ornstein-Uhlenbeck process give its drift back."""
    rate, size, t = 0.8, 0.6, torch.linspace(0.1, 2.0, 7)[:, None]
    stationary = size**2 / (2 * rate)
    variance = stationary + (0.1 - stationary) * torch.exp(-2 * rate * t)
    std = variance.sqrt()
    widening = -rate * (variance - stationary) / std
    noise = torch.linspace(-2, 2, 7)[:, None]
    mean = torch.exp(-rate * t)
    found = matched_drift(
        OrnsteinUhlenbeck(rate, size, kind),
        t,
        mean + std * noise,
        -rate * mean + widening * noise,
        -noise / std,
    )
    torch.testing.assert_close(found, -rate * (mean + std * noise))


def test_the_drift_of_given_marginals_where_the_noise_depends_on_the_state() -> None:
    """Those of a geometric Brownian motion, in Ito's sense."""
    law, t = Geometric(), torch.linspace(0.2, 1.0, 5)[:, None]
    noise = torch.linspace(-2, 2, 5)[:, None]
    std = law.size * t.sqrt()
    state = torch.exp((law.growth - law.size**2 / 2) * t + std * noise)
    speed = law.growth - law.size**2 / 2 + law.size / (2 * t.sqrt()) * noise
    score = -(1 + noise / std) / state
    found = matched_drift(law, t, state, speed * state, score)
    torch.testing.assert_close(found, law.growth * state)


def test_drift_in_itos_sense() -> None:
    """That of Stratonovich's has half of the diffusion's product with its slope added."""
    state, t = torch.tensor([[2.0]]), torch.zeros(1, 1)
    assert float(ito_drift(Geometric(), t, state)) == pytest.approx(0.4)
    assert float(ito_drift(Geometric("stratonovich"), t, state)) == pytest.approx(0.4 + 0.25)


def test_a_control_makes_up_the_difference() -> None:
    """Whatever the diffusion, diagonal or a matrix."""
    torch.manual_seed(0)
    difference, matrix = torch.randn(5, 3), torch.randn(5, 3, 3) + 3 * torch.eye(3)
    control = whitened(matrix, difference)
    torch.testing.assert_close((matrix @ control[..., None])[..., 0], difference)
    diagonal = 1 + torch.rand(5, 3)
    torch.testing.assert_close(whitened(diagonal, difference) * diagonal, difference)


def test_noise_that_cannot_be_divided_by_is_refused() -> None:
    """With the kinds that can."""
    with pytest.raises(PluginError, match=r"'x' needs .* of diagonal or additive noise; SDE has"):
        require_regular(SDE(2, noise_type="general"), ("diagonal", "additive"), "'x'")
