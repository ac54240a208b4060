"""Perceptrons evaluated many times in one graph: the same numbers and gradients, of any order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odeseries.dynamics import MLP, Fourier
from odeseries.nets import Perceptron, Potential, unrolled
from odeseries.plugins import get
from odeseries.solvers import solve
from odeseries.unrolled import ENOUGH


def net(activation: type[nn.Module] = nn.Tanh) -> Perceptron:
    """In float64, with seeded weights."""
    torch.manual_seed(0)
    return Perceptron((3, 5, 4, 3), activation).double()


def start(batch: int = 2) -> Tensor:
    """States with a gradient."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, dtype=torch.float64, generator=generator)
    return x.requires_grad_()


def iterated(field: Perceptron, x: Tensor, count: int) -> list[Tensor]:
    """Euler steps, as a solver would take them."""
    out = [x]
    for _ in range(count):
        out.append(out[-1] + 0.1 * field(out[-1]))
    return out


def close(actual: object, expected: object) -> None:
    """Up to rounding."""
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("count", [1, 5, 2 * ENOUGH + 3])
def test_gradients_are_those_of_the_layers(count: int) -> None:
    """With respect to the states and every parameter, however many evaluations there are."""
    field, x = net(), start()
    inputs = (x, *field.parameters())
    plain = torch.autograd.grad(iterated(field, x, count)[-1].square().sum(), inputs)
    with unrolled(field):
        ends = iterated(field, x, count)[-1]
    close(torch.autograd.grad(ends.square().sum(), inputs), plain)


def test_a_backward_pass_forgets_those_before() -> None:
    """One that asked for the states only, one repeated, and one from an earlier state."""
    field, x = net(), start()
    inputs = (x, *field.parameters())
    with unrolled(field):
        path = iterated(field, x, 4)
    torch.autograd.grad(path[-1].sum(), x, retain_graph=True)
    for end in (4, 4, 2):
        found = torch.autograd.grad(path[end].sum(), inputs, retain_graph=True)
        close(found, torch.autograd.grad(iterated(field, x, end)[end].sum(), inputs))


def test_gradients_can_be_differentiated_again() -> None:
    """With respect to states and parameters."""
    field, x = net(), start(1)

    def ends(x: Tensor, *parameters: Tensor) -> Tensor:
        with unrolled(field):
            return iterated(field, x, 2)[-1]

    inputs = (x, *field.parameters())
    assert torch.autograd.gradcheck(ends, inputs)
    assert torch.autograd.gradgradcheck(ends, inputs)


@pytest.mark.parametrize("frozen", [False, True])
def test_differentiating_again_takes_time_in_proportion(frozen: bool) -> None:
    """Each evaluation is gone back through once, of which there are many."""
    field, x = net(), start()
    field.layers[2].requires_grad_(requires_grad=not frozen)
    learned = [p for p in field.parameters() if p.requires_grad]

    def penalty(ends: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(ends.square().sum(), x, create_graph=True)
        return slope.square().sum()

    with unrolled(field):
        ends = iterated(field, x, 40)[-1]
    expected = torch.autograd.grad(penalty(iterated(field, x, 40)[-1]), learned)
    close(torch.autograd.grad(penalty(ends), learned), expected)


def test_states_of_more_axes_and_frozen_parameters() -> None:
    """As the layers take them."""
    field = net().requires_grad_(requires_grad=False)
    x = start(6).reshape(2, 3, 3)
    with unrolled(field):
        out = field(x)
    close(out, field(x))
    close(torch.autograd.grad(out.sum(), x), torch.autograd.grad(field(x).sum(), x))


def test_weights_must_not_change_before_the_backward_pass() -> None:
    """As where autograd keeps them."""
    field = net()
    with unrolled(field):
        out = field(start()).sum()
    with torch.no_grad():
        field.layers[2].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU])
def test_a_context_in_a_context_and_none(activation: type[nn.Module]) -> None:
    """Other activations are left as they are; afterwards nothing is changed."""
    field, x = net(activation), start()
    expected = torch.autograd.grad((field(x) + field(2 * x)).sum(), [*field.parameters()])
    with unrolled(field):
        first = field(x)
        with unrolled(nn.ModuleList([field])):
            second = field(2 * x)
    close(torch.autograd.grad((first + second).sum(), [*field.parameters()]), expected)
    assert field(x).grad_fn is not None
    assert type(field(x).grad_fn).__name__ == "AddmmBackward0"


def test_a_field_that_differentiates_its_perceptron() -> None:
    """From the second evaluation on it gets the layers' own graph; the gradients are the same."""
    field, x = net(), start()

    def conservative(x: Tensor) -> Tensor:
        at = x if x.requires_grad else x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(field(at).sum(), at, create_graph=True)
        return slope

    def ends() -> Tensor:
        return conservative(x + 0.1 * conservative(x)).square().sum()

    inputs = (x, *field.parameters())
    with unrolled(field):
        total = ends()
        assert type(field(x).grad_fn).__name__ == "AddmmBackward0"
    expected = torch.autograd.grad(ends(), inputs, allow_unused=True)
    close(torch.autograd.grad(total, inputs, allow_unused=True), expected)


def test_a_solve_calls_what_a_subclass_has_made_of_the_field() -> None:
    """The perceptron inside is unrolled, and no more."""

    class Slowed(MLP):
        def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            return 0.5 * super().forward(t, state, inputs)

    torch.manual_seed(0)
    slow = Slowed(3).double()
    times = torch.tensor([0.0, 0.7, 1.0], dtype=torch.float64)
    options = {"solver": "dopri5", "rtol": 1e-6, "atol": 1e-8}
    own = solve(slow, start(), times, **options).ys
    plain = solve(lambda t, y: slow(t, y), start(), times, **options).ys
    close(own, plain)
    found = (torch.autograd.grad(ys.sum(), [*slow.parameters()]) for ys in (own, plain))
    close(*found)


def waves() -> tuple[Fourier, Tensor, Tensor]:
    """A field of waves, states with a gradient, and inputs."""
    torch.manual_seed(0)
    field = Fourier(3, n_inputs=2, hidden=6).double()
    return field, start(4), torch.randn(4, 2, dtype=torch.float64)


def density(field: Fourier, x: Tensor, inputs: Tensor) -> Tensor:
    """A number that depends on values and divergences along Euler steps."""
    t, volume = torch.zeros(4, 1), torch.zeros(4, dtype=torch.float64)
    for _ in range(3):
        slope, divergence = field.with_divergence(t, x, inputs)
        x, volume = x + 0.3 * slope, volume + 0.3 * divergence
    return (x + field(t, x, inputs)).square().sum() + volume.square().sum()


@pytest.mark.parametrize("create_graph", [False, True])
def test_waves_have_the_gradients_of_their_layers(create_graph: bool) -> None:
    """Of values and divergences, to be differentiated once more or not."""
    field, x, inputs = waves()
    wanted = (x, *field.parameters())
    plain = torch.autograd.grad(density(field, x, inputs), wanted)
    with unrolled(field):
        found = density(field, x, inputs)
    for _ in range(2):
        grads = torch.autograd.grad(found, wanted, retain_graph=True, create_graph=create_graph)
        close(grads, plain)


def test_waves_are_differentiated_twice() -> None:
    """Second derivatives by states and parameters."""
    field, x, inputs = waves()
    wanted = (x, *field.parameters())

    def second(value: Tensor) -> tuple[Tensor, ...]:
        grads = torch.autograd.grad(value, wanted, create_graph=True)
        return torch.autograd.grad(torch.stack([g.square().sum() for g in grads]).sum(), wanted)

    with unrolled(field):
        found = density(field, x, inputs)
    close(second(found), second(density(field, x, inputs)))


def test_waves_without_a_divergence() -> None:
    """The value alone, and the same numbers where no gradients are kept."""
    field, x, inputs = waves()
    t = torch.zeros(4, 1)
    plain = field(t, x, inputs)
    wanted = torch.autograd.grad(plain.sum(), tuple(field.parameters()))
    with unrolled(field):
        found = field(t, x, inputs)
        with torch.no_grad():
            close(field(t, x, inputs), plain)
    close(found, plain)
    close(torch.autograd.grad(found.sum(), tuple(field.parameters())), wanted)


STEPS = {
    "rk4": {"n_steps": 5},
    "dopri5": {"rtol": 1e-7, "atol": 1e-9},
    "tsit5": {"rtol": 1e-7, "atol": 1e-9},
}
ORDINARY = ("augmented", "convolutional", "fourier", "hamiltonian", "linear", "mlp", "second_order")


@pytest.mark.parametrize("solver", STEPS)
@pytest.mark.parametrize("name", ORDINARY)
def test_a_solve_has_the_gradients_of_the_field_as_a_function(name: str, solver: str) -> None:
    """Of which nothing is known that could be written out; adaptive steps look ahead."""
    torch.manual_seed(0)
    dynamics = get("dynamics", name)(2).double()
    y0 = torch.randn(3, dynamics.state_dim, dtype=torch.float64).requires_grad_()
    times = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    fields = (dynamics, lambda t, y: dynamics(t, y))
    own, plain = (solve(field, y0, times, solver=solver, **STEPS[solver]).ys for field in fields)
    wanted = (y0, *dynamics.parameters())
    found = [
        torch.autograd.grad(ys.square().sum(), wanted, materialize_grads=True, allow_unused=True)
        for ys in (own, plain)
    ]
    exact = dynamics.closed_form  # of which a solver is off
    torch.testing.assert_close(*found, rtol=1e-2 if exact else 1e-8, atol=1e-3 if exact else 1e-10)


def test_an_evaluation_without_gradients_between_others() -> None:
    """It leads no evaluation after it astray."""
    field, x, inputs = waves()
    t = torch.zeros(4, 1)
    wanted = torch.autograd.grad(field(t, x, inputs).sum(), tuple(field.parameters()))
    with unrolled(field):
        with torch.no_grad():
            field(t, x, inputs)
            field.with_divergence(t, x, inputs)
        found = field(t, x, inputs)
    close(torch.autograd.grad(found.sum(), tuple(field.parameters())), wanted)


def scaled(layer: nn.Module) -> None:
    """Let a hook make the weight of a layer, and change what it is made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the parametrizations are newer
        nn.utils.weight_norm(layer)
    with torch.no_grad():
        layer.weight_g.mul_(3)


def doubled(module: nn.Module) -> None:
    """Let a hook change what comes out."""
    module.register_forward_hook(lambda module, args, out: 2 * out)


def without_bias(dynamics: nn.Module) -> None:
    """Another layer of torch's."""
    dynamics.field.layers[2] = nn.Linear(4, 4, bias=False).double()


def bounded(dynamics: nn.Module) -> None:
    """Another layer at the end."""
    dynamics.field.layers.append(nn.Tanh())


CHANGES: list[tuple[str, Callable[[Any], None]]] = [
    ("mlp", lambda d: scaled(d.field.layers[0])),
    ("augmented", lambda d: scaled(d.field.layers[4])),
    ("fourier", lambda d: scaled(d.second)),
    ("hamiltonian", lambda d: scaled(d.potential.correction.last)),
    ("mlp", lambda d: doubled(d.field.layers[1])),
    ("mlp", lambda d: doubled(d.field.layers)),
    ("mlp", lambda d: doubled(d.field)),
    ("mlp", doubled),
    ("augmented", doubled),
    ("fourier", lambda d: doubled(d.first)),
    ("fourier", doubled),
    ("mlp", without_bias),
    ("mlp", bounded),
]


@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_what_was_made_something_else_is_not_written_out(
    name: str, change: Callable[[Any], None]
) -> None:
    """Hooks do their work, and weights that others make are those of now, time after time."""
    torch.manual_seed(0)
    dynamics = get("dynamics", name)(2, hidden=4).double()
    change(dynamics)
    y0 = torch.ones(3, dynamics.state_dim, dtype=torch.float64)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for _ in range(2):
        own, plain = (solve(f, y0, times).ys for f in (dynamics, lambda t, y: dynamics(t, y)))
        close(own, plain)
        wanted = list(dynamics.parameters())
        of_own, of_plain = (
            torch.autograd.grad(ys.square().sum(), wanted, allow_unused=True) for ys in (own, plain)
        )
        close([g for g in of_own if g is not None], [g for g in of_plain if g is not None])
        with torch.no_grad():
            wanted[-1].mul_(1.5)


@pytest.mark.parametrize("cls", [MLP, Fourier])
def test_a_divergence_is_that_of_weights_of_now(cls: type) -> None:
    """Where a hook makes them of others."""
    torch.manual_seed(0)
    field, states = cls(2).double(), torch.randn(4, 2, dtype=torch.float64)
    scaled(field.last if cls is Fourier else field.field.layers[4])
    _, found = field.with_divergence(torch.zeros(4, 1), states)
    jacobian = torch.autograd.functional.jacobian
    rows = torch.stack([jacobian(lambda s: field(torch.zeros(1), s), row) for row in states])
    close(found, rows.diagonal(dim1=1, dim2=2).sum(-1))


def test_the_gradient_of_an_energy_is_that_of_weights_of_now() -> None:
    """Where a hook makes them of others."""
    torch.manual_seed(0)
    potential, x = Potential(2, 4, 2).double(), torch.ones(3, 2, dtype=torch.float64)
    scaled(potential.last)
    x.requires_grad_()
    found = potential.gradient(x)
    close(found, torch.autograd.grad(potential(x).sum(), x)[0])
