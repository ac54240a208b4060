"""Laws of the stochastic dynamics: its floor, its kinds of noise, learning and storing."""

from __future__ import annotations

import pickle

import pytest
import torch

from odeseries.dynamics import SDE
from odeseries.plugins import get
from odeseries.solvers import row_seeds, solve

KINDS = ["diagonal", "additive", "general"]
SOLVERS = {"ito": "euler_maruyama", "stratonovich": "stochastic_heun"}


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Networks are drawn from the global generator."""
    torch.manual_seed(0)


def test_is_built_in() -> None:
    """Its name finds it, and its class says that it is stochastic."""
    assert get("dynamics", "sde") is SDE
    assert SDE.noise_type == "diagonal"


@pytest.mark.parametrize("floor", [0.01, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_diffusion_has_a_floor(kind: str, floor: float) -> None:
    """Whatever the parameters: a tiny raw diffusion leaves the floor, on the diagonal."""
    dynamics = SDE(3, noise_type=kind, floor=floor)
    with torch.no_grad():
        for parameter in dynamics.noise.parameters():
            parameter.mul_(100).sub_(100)
    state = 10 * torch.randn(50, 3)
    found = dynamics.diffusion(torch.zeros(50, 1), state).detach()
    least = found if kind == "diagonal" else found.diagonal(dim1=-2, dim2=-1)
    assert float(least.min()) == pytest.approx(floor)
    if kind != "diagonal":
        assert torch.equal(found, found.tril())


def test_diagonal_diffusion_sees_its_own_coordinate_alone() -> None:
    """The Jacobian of the diffusion is diagonal, and not zero."""
    dynamics, t = SDE(4).double(), torch.zeros(1)
    state = torch.randn(4, dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda y: dynamics.diffusion(t, y))(state)
    assert torch.equal(jacobian, torch.diag(jacobian.diagonal()))
    assert (jacobian.diagonal() != 0).all()


def test_additive_diffusion_does_not_see_the_state() -> None:
    """It is the same matrix everywhere."""
    dynamics = SDE(3, noise_type="additive")
    a, b = dynamics.diffusion(torch.zeros(2, 1), torch.randn(2, 3))
    assert torch.equal(a, b)


@pytest.mark.parametrize("sde_type", SOLVERS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind: str, sde_type: str) -> None:
    """Through the solver, at irregular times, with inner axes."""
    dynamics = SDE(2, hidden=8, noise_type=kind, sde_type=sde_type)
    times = torch.tensor([0.0, 0.21, 1.0])
    ys = solve(dynamics, torch.randn(5, 3, 2), times, solver=SOLVERS[sde_type], seed=0).ys
    assert ys.shape == (5, 3, 3, 2)
    ys.square().sum().backward()
    for name, parameter in dynamics.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_learns_the_spread_of_an_ornstein_uhlenbeck_process() -> None:
    """Moments of the paths, matched by gradients through the solver, are found again."""
    dynamics = SDE(1, hidden=8)
    times = torch.tensor([0.0, 0.4, 1.0])
    variance = 0.25 / 2 * (1 - torch.exp(-2 * times[1:]))
    optimiser = torch.optim.Adam(dynamics.parameters(), lr=0.02)
    for step in range(150):
        ys = solve(
            dynamics, torch.zeros(256, 1), times, solver="milstein", n_steps=10, seed=step
        ).ys[:, 1:, 0]
        loss = ((ys.var(0) / variance).log() ** 2).sum() + (ys.mean(0) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    ys = solve(dynamics, torch.zeros(4000, 1), times, solver="milstein", n_steps=10, seed=999).ys
    assert (ys[:, 1:, 0].var(0) / variance).tolist() == pytest.approx([1, 1], abs=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_row_alone_equals_row_among_forty(kind: str) -> None:
    """No row looks at another, nor at another's noise."""
    dynamics = SDE(2, noise_type=kind).double()
    keys, y0 = row_seeds(0, range(40)), torch.randn(40, 2, dtype=torch.float64)
    times = torch.rand(40, 6, dtype=torch.float64).sort(1).values
    options = {"solver": "euler_maruyama", "step": 0.1}
    with torch.no_grad():
        many = solve(dynamics, y0, times, seed=keys, **options).ys[17]
        alone = solve(dynamics, y0[17:18], times[17:18], seed=keys[17:18], **options).ys[0]
    torch.testing.assert_close(alone, many, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_keeps_its_kind_when_stored(kind: str) -> None:
    """A pickled copy states the same noise and gives the same path; so do its weights alone."""
    dynamics = SDE(2, noise_type=kind, sde_type="stratonovich")
    again = SDE(2, noise_type=kind, sde_type="stratonovich")
    again.load_state_dict(dynamics.state_dict())
    times = torch.tensor([0.0, 1.0])
    paths = [
        solve(copy, torch.ones(3, 2), times, solver="stochastic_heun", seed=0).ys
        for copy in (dynamics, again, pickle.loads(pickle.dumps(dynamics)))  # noqa: S301  # ours
    ]
    assert torch.equal(paths[0], paths[1])
    assert torch.equal(paths[0], paths[2])


def test_wrong_hyperparameters_are_refused() -> None:
    """With what is right."""
    with pytest.raises(ValueError, match="use one of diagonal, additive, general"):
        SDE(2, noise_type="scalar")
    with pytest.raises(ValueError, match="floor=0 must be positive"):
        SDE(2, floor=0)
