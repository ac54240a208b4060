"""Fields fitted to slopes: the error and its gradients written out are those of autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from odeseries.cnf.velocity import Velocity
from odeseries.dynamics import Fourier
from odeseries.nets import seeded_weights

N, DIM, CONDITIONS = 7, 3, 2


def _velocity(dynamics: Any, **params: Any) -> Velocity:
    with seeded_weights(0):
        found = Velocity(dynamics, DIM, CONDITIONS, params=params, divergence="auto")
    with torch.no_grad():
        found.gain.fill_(0.7)
    return found.double()


def _rows() -> tuple[Tensor, ...]:
    """Times, states, conditions, slopes and weights."""
    draw = torch.Generator().manual_seed(1)
    widths = (1, DIM, CONDITIONS, DIM)
    rows = [torch.rand(N, k, generator=draw, dtype=torch.float64) for k in widths]
    return *rows, torch.rand(N, generator=draw, dtype=torch.float64)


def _plain(velocity: Velocity, rows: tuple[Tensor, ...]) -> Tensor:
    t, state, condition, target, weights = rows
    missed = (velocity(t, state, condition) - target) ** 2
    return (weights[:, None] * missed).mean()


def _gradients(value: Tensor, velocity: Velocity) -> dict[str, Tensor]:
    names, parameters = zip(*velocity.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, parameters), strict=True))


class Doubled(Fourier):
    """Another field, which the written-out one does not stand for."""

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Twice the derivative."""
        return 2 * super().forward(t, state, inputs)


@pytest.mark.parametrize("dynamics", ["fourier", "mlp", Doubled])
def test_error_and_gradients_are_those_of_autograd(dynamics: Any) -> None:
    """Of the written-out field to rounding, of a subclass's and another field by autograd."""
    velocity, rows = _velocity(dynamics, hidden=6), _rows()
    found, right = velocity.squared_error(*rows), _plain(velocity, rows)
    torch.testing.assert_close(found, right, rtol=1e-13, atol=0)
    grads, expected = _gradients(3 * found, velocity), _gradients(3 * right, velocity)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-12, atol=1e-14, msg=name)


def test_gradients_are_those_of_differences() -> None:
    """By all parameters and the gain."""
    velocity, (t, *rest) = _velocity("fourier", hidden=4), _rows()
    values = dict(velocity.named_parameters())

    def error(*parameters: Tensor) -> Tensor:
        swapped = dict(zip(values, parameters, strict=True))
        return torch.func.functional_call(velocity, swapped, (t, *rest))

    velocity.forward = velocity.squared_error  # type: ignore[method-assign]  # what is called
    assert torch.autograd.gradcheck(error, tuple(values.values()))


def test_gradients_by_states_are_left_to_autograd() -> None:
    """They are asked for, and right."""
    velocity, (t, state, *rest) = _velocity("fourier"), _rows()
    state.requires_grad_()
    rows = (t, state, *rest)
    (found,) = torch.autograd.grad(velocity.squared_error(*rows), state)
    (right,) = torch.autograd.grad(_plain(velocity, rows), state)
    torch.testing.assert_close(found, right)


def test_a_layer_made_something_else_is_left_to_autograd() -> None:
    """All its parameters have gradients."""
    velocity, rows = _velocity("fourier"), _rows()
    torch.nn.utils.parametrizations.weight_norm(velocity.dynamics.second)
    torch.testing.assert_close(velocity.squared_error(*rows), _plain(velocity, rows))
    velocity.squared_error(*rows).backward()  # type: ignore[no-untyped-call]  # torch
    assert all(p.grad is not None for p in velocity.parameters())


def test_hooks_do_their_work() -> None:
    """Of the field, and of its layers."""
    for place in ("", "last"):
        velocity, rows = _velocity("fourier"), _rows()
        module = velocity.dynamics.get_submodule(place)
        module.register_forward_hook(lambda module, args, out: 3 * out)
        torch.testing.assert_close(velocity.squared_error(*rows), _plain(velocity, rows))
