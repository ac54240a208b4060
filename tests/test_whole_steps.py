"""Steps of a perceptron as one node: the numbers and gradients of the plain steps, of any order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from odeseries.dynamics import MLP, Augmented
from odeseries.solvers import solve

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("euler", {"n_steps": 3}),
    ("midpoint", {"step": 0.3}),
    ("rk4", {"n_steps": 4}),
    ("dopri5", {"rtol": 1e-5, "atol": 1e-7}),
    ("tsit5", {"rtol": 1e-5, "atol": 1e-7}),
]


class Same(MLP):
    """The same field, which no longer says that it is but a perceptron."""

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative."""
        return super().forward(t, state, inputs)


def both(*, steep: float = 2.0) -> tuple[MLP, Same]:
    """The field, and itself without the new steps, in float64."""
    torch.manual_seed(0)
    whole, plain = MLP(3, hidden=8).double(), Same(3, hidden=8).double()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.mul_(steep)
    plain.load_state_dict(whole.state_dict())
    return whole, plain


def problem(shape: tuple[int, ...], n_times: int) -> tuple[Tensor, Tensor]:
    """States with a gradient, and times of rows whose spans differ, so that some are put aside."""
    generator = torch.Generator().manual_seed(1)
    y0 = torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
    times = torch.rand(shape[0], n_times, dtype=torch.float64, generator=generator)
    spans = torch.linspace(0.1, 4, shape[0], dtype=torch.float64)
    return y0, times.sort(1)[0] * spans[:, None]


def found(field: MLP, y0: Tensor, times: Tensor, solver: str, options: dict[str, Any]) -> Any:
    """States, gradients, and gradients of the gradients' squares."""
    inputs = [y0, *field.parameters()]
    ys = solve(field, y0, times, solver=solver, **options).ys
    weights = torch.linspace(-1, 2, ys.numel(), dtype=ys.dtype).view_as(ys)
    once = torch.autograd.grad((ys * weights).sum(), inputs)
    ys = solve(field, y0, times, solver=solver, **options).ys
    first = torch.autograd.grad((ys * weights).sum(), inputs, create_graph=True)
    twice = torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), inputs)
    return ys, once, twice


@pytest.mark.parametrize(("solver", "options"), METHODS)
@pytest.mark.parametrize(("shape", "n_times"), [((6, 3), 5), ((3, 2, 3), 2)])
def test_numbers_and_gradients_are_those_of_plain_steps(
    solver: str, options: dict[str, Any], shape: tuple[int, ...], n_times: int
) -> None:
    """To rounding; lengths that are chosen from small errors carry more of it."""
    whole, plain = both()
    y0, times = problem(shape, n_times)
    exact = (
        {"rtol": 1e-12, "atol": 1e-12} if "rtol" not in options else {"rtol": 1e-7, "atol": 1e-9}
    )
    found_by_nodes = found(whole, y0, times, solver, options)
    torch.testing.assert_close(found_by_nodes, found(plain, y0, times, solver, options), **exact)


def test_one_node_a_step() -> None:
    """The graph has one node for every step, and one for the first evaluation."""
    whole, _ = both()
    y0, times = problem((2, 3), 2)
    names: list[str] = []
    nodes = [solve(whole, y0, times, solver="rk4", n_steps=5).ys.grad_fn]
    seen = set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.append(node.name())
            nodes += [following for following, _ in node.next_functions]
    assert names.count("_StepBackward") == 5
    assert names.count("_EvaluationBackward") == 1
    assert not any(name.startswith(("Mul", "Add", "Tanh")) for name in names)


def test_gradcheck() -> None:
    """Against differences, by states and parameters, once and twice."""
    torch.manual_seed(2)
    field = Augmented(1, extra_dims=1, hidden=3, depth=1).double()
    times = torch.tensor([[0.0, 0.4, 1.0], [0.0, 0.1, 0.2]], dtype=torch.float64)
    y0 = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)

    def ends(y0: Tensor, *parameters: Tensor) -> Tensor:
        return solve(field, y0, times, solver="midpoint", n_steps=2).ys

    inputs = (y0, *field.parameters())
    assert torch.autograd.gradcheck(ends, inputs)
    assert torch.autograd.gradgradcheck(ends, inputs)


def test_a_backward_pass_forgets_those_before_it() -> None:
    """One repeated, and one that asked for the states alone."""
    whole, _ = both()
    y0, times = problem((4, 3), 3)
    inputs = [y0, *whole.parameters()]
    total = solve(whole, y0, times, solver="dopri5").ys.square().sum()
    first = torch.autograd.grad(total, inputs, retain_graph=True)
    torch.autograd.grad(total, y0, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(total, inputs), first, rtol=0, atol=0)


def test_gradients_by_times_and_of_frozen_parameters() -> None:
    """Steps whose lengths are differentiated are plain; parameters need not be learnt."""
    whole, plain = both()
    y0, times = problem((3, 3), 3)
    times.requires_grad_()
    ends = [solve(f, y0, times, solver="rk4", n_steps=3).ys.sum() for f in (whole, plain)]
    by_nodes, by_steps = (torch.autograd.grad(end, [times, y0]) for end in ends)
    torch.testing.assert_close(by_nodes, by_steps)
    whole.requires_grad_(requires_grad=False)
    frozen = solve(whole, y0, times.detach(), solver="rk4", n_steps=3).ys.sum()
    torch.testing.assert_close(torch.autograd.grad(frozen, y0)[0], by_steps[1])


def test_weights_must_not_change_before_the_backward_pass() -> None:
    """As where autograd keeps them."""
    whole, _ = both()
    y0, times = problem((2, 3), 2)
    total = solve(whole, y0, times, solver="rk4", n_steps=2).ys.sum()
    with torch.no_grad():
        next(whole.parameters()).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
