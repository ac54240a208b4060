"""Gradients of torchdiffeq's methods by its adjoint equation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics
from odeseries.solvers import solve
from odeseries.solvers.torchdiffeq import METHODS

F64 = torch.float64
TIMES = torch.tensor([[0.0, 0.3, 0.3, 1.0], [2.0, 1.5, 0.7, 0.2]], dtype=F64)
TOLERANCES = {
    "dopri8": 1e-9,
    "fehlberg2": 1e-5,
    "adaptive_heun": 1e-4,
    "bosh3": 1e-7,
    "euler": 0,
    "midpoint": 0,
}
"""Of methods of low order, for which others are too tight, and of one whose steps are too long."""


class Driven(Dynamics):
    """Two coordinates, two parameters, and the time."""

    def __init__(self) -> None:
        super().__init__(2)
        self.rate = nn.Parameter(torch.tensor([1.3, 0.7], dtype=F64))
        self.shift = nn.Parameter(torch.tensor(0.2, dtype=F64))
        self.idle = nn.Parameter(torch.tensor(5.0, dtype=F64))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Nothing of which is linear."""
        return torch.sin(self.rate * state) + t * (state + self.shift) / 4


def gradients(name: str, gradient: str) -> list[Tensor]:
    """With respect to initial states, parameters, and a tensor computed before."""
    dynamics, scale = Driven(), torch.tensor(1.1, dtype=F64, requires_grad=True)
    y0 = torch.tensor([[0.5, -1.0], [1.5, 0.2]], dtype=F64, requires_grad=True)
    computed = scale**2
    tolerance = TOLERANCES.get(name, 1e-7)
    ys = solve(
        lambda t, y: computed * dynamics(t, y),
        y0,
        TIMES,
        solver=f"torchdiffeq:{name}",
        n_steps=None if METHODS[name].adaptive else 40,
        rtol=tolerance or 1e-3,
        atol=tolerance or 1e-3,
        gradient=gradient,
    ).ys
    inputs = [y0, dynamics.rate, dynamics.shift, scale]
    return list(torch.autograd.grad(ys.square().sum(), inputs))


@pytest.mark.parametrize("name", METHODS)
def test_the_adjoint_agrees_with_autograd(name: str) -> None:
    """To the accuracy of the method, in both directions and with a repeated time."""
    relative = {1: 0.1, 2: 2e-3}.get(int(METHODS[name].order), 1e-4)
    for found, right in zip(gradients(name, "adjoint"), gradients(name, "autograd"), strict=True):
        assert float((found - right).norm() / right.norm()) < relative


def test_no_graph_of_the_steps_is_kept() -> None:
    """What is saved for the way back does not grow with the number of steps."""

    def saved(gradient: str, rtol: float) -> int:
        kept = []

        def pack(x: Tensor) -> Tensor:
            kept.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            solve(
                Driven(),
                torch.ones(2, 2, dtype=F64),
                TIMES,
                solver="torchdiffeq:dopri5",
                rtol=rtol,
                atol=rtol,
                gradient=gradient,
            )
        return sum(kept)

    assert saved("adjoint", 1e-10) == saved("adjoint", 1e-3)
    assert saved("autograd", 1e-10) > 3 * saved("autograd", 1e-3)


@pytest.mark.parametrize("name", ["dopri5", "rk4"])
def test_a_failing_row_leaves_the_gradients_of_the_others(name: str) -> None:
    """They equal those of a batch without it."""
    y0 = torch.tensor([[0.4], [50.0], [-0.2]], dtype=F64)
    times = torch.tensor([0.0, 1.0, 2.0], dtype=F64)

    def gradient(rows: list[int]) -> Tensor:
        rate = torch.tensor(0.2, dtype=F64, requires_grad=True)
        ys = solve(
            lambda t, y: torch.exp(rate * y**2) - 1,
            y0[rows],
            times,
            solver=f"torchdiffeq:{name}",
            gradient="adjoint",
            on_failure="nan",
        ).ys
        assert torch.isnan(ys).flatten(1).all(1).tolist() == [row == 1 for row in rows]
        ys[torch.isfinite(ys)].sum().backward()
        return rate.grad

    torch.testing.assert_close(gradient([0, 1, 2]), gradient([0, 2]), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["dopri5", "rk4"])
def test_a_field_that_ignores_the_state_has_gradients(name: str) -> None:
    """The state at the end moves with the one at the start."""
    y0 = torch.zeros(1, 2, dtype=F64, requires_grad=True)
    ys = solve(
        lambda t, y: torch.cos(t).expand(1, 2),
        y0,
        torch.tensor([0.0, 1.0], dtype=F64),
        solver=f"torchdiffeq:{name}",
        gradient="adjoint",
    ).ys
    ys[:, -1].sum().backward()
    assert torch.equal(y0.grad, torch.ones(1, 2, dtype=F64))


def test_derivatives_by_the_times_are_refused() -> None:
    """Before a backward pass stumbles."""
    times = TIMES.clone().requires_grad_()
    with pytest.raises(SolverError, match="no derivatives by the times"):
        solve(Driven(), torch.ones(2, 2, dtype=F64), times, solver="torchdiffeq:rk4")


def test_checkpoints_are_refused() -> None:
    """With what there is instead."""
    with pytest.raises(SolverError, match=r"no gradient='checkpoint': take one of adjoint, autog"):
        solve(
            Driven(),
            torch.ones(1, 2, dtype=F64),
            TIMES[:1],
            solver="torchdiffeq:dopri5",
            gradient="checkpoint",
        )


@pytest.mark.parametrize("name", ["dopri5", "rk4"])
def test_gradients_of_gradients_are_refused(name: str) -> None:
    """They would be taken for zero."""
    y0 = torch.ones(1, 2, dtype=F64, requires_grad=True)
    ys = solve(Driven(), y0, TIMES[0], solver=f"torchdiffeq:{name}", gradient="adjoint").ys
    with pytest.raises(SolverError, match=r"torchdiffeq with gradient='adjoint' .* once only"):
        torch.autograd.grad(ys.square().sum(), y0, create_graph=True)
    assert torch.isfinite(torch.autograd.grad(ys.square().sum(), y0)[0]).all()


@pytest.mark.parametrize("name", ["torchdiffeq:rk4", "torchdiffeq:dopri5", "adams"])
def test_what_rests_is_a_copy(name: str) -> None:
    """Writing into the solution changes neither the initial states nor other times."""
    y0 = torch.ones(1, 2)
    ys = solve(Driven(), y0, torch.tensor([2.0, 2.0, 2.0]), solver=name).ys
    ys.detach()[0, 1] = 5
    assert y0.eq(1).all()
    assert ys[0, ::2].eq(1).all()
