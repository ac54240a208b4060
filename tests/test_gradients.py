"""Three ways to the gradients of a solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odeseries import GradientWarning, SolverError, solve, solve_event
from odeseries.cnf.velocity import Velocity
from odeseries.driving import Driven, InputPath
from odeseries.dynamics import MLP, SDE, Hamiltonian, Linear, SecondOrder
from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron, seeded_weights
from odeseries.solvers.dependencies import dependencies

OTHERS = ["checkpoint", "adjoint"]
TIGHT: dict[str, Any] = {"solver": "dopri5", "rtol": 1e-8, "atol": 1e-8}
STEPS: dict[str, Any] = {"solver": "rk4", "n_steps": 30}
AGREES = {"checkpoint": 1e-10, "adjoint": 1e-4}
"""Relative difference from autograd's gradients, tight tolerances given."""


class ByAutograd(Dynamics):
    """A Hamiltonian field whose gradient is taken by autograd, as a person would write it."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.energy = Perceptron((dim, 12, 1), nn.Tanh)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Differentiate the energy."""
        with torch.enable_grad():
            at = state if state.requires_grad else state.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(at).sum(), at, create_graph=True)
        by_position, by_momentum = slope.chunk(2, -1)
        return torch.cat([by_momentum, -by_position], -1)


class Seasonal(MLP):
    """A field that depends on time, and uses one layer twice."""

    autonomous = False

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Add the field of the turned state."""
        return torch.sin(2 * t) * self.field(state) + 0.3 * self.field(-state)


def made(make: Callable[[], Dynamics]) -> Dynamics:
    """A dynamics with weights from a seed, in float64."""
    with seeded_weights(0):
        return make().double()


DYNAMICS: dict[str, Callable[[], Dynamics]] = {
    "mlp": lambda: made(lambda: MLP(2, hidden=12)),
    "hamiltonian": lambda: made(lambda: Hamiltonian(2, hidden=12)),
    "by_autograd": lambda: made(lambda: ByAutograd(2)),
    "seasonal": lambda: made(lambda: Seasonal(2, hidden=12)),
    "second_order": lambda: made(lambda: SecondOrder(1, hidden=12)),
}


def batch(direction: int = 1, n_times: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Initial states, private times and a weight for every answer."""
    generator = torch.Generator().manual_seed(1)
    y0 = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    gaps = torch.rand(3, n_times, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, n_times, 2, generator=generator, dtype=torch.float64)
    return y0.requires_grad_(), (direction * gaps.cumsum(1)).requires_grad_(), weights


def gradients(
    field: Any, more: tuple[Tensor, ...] = (), direction: int = 1, **options: Any
) -> list[Tensor]:
    """Gradients by initial states, times and more of a weighted sum of the answers."""
    y0, times, weights = batch(direction)
    ys = solve(field, y0, times, **options).ys
    found = torch.autograd.grad((ys * weights).sum(), [y0, times, *more], allow_unused=True)
    return [torch.zeros(()) if x is None else x for x in found]


def difference(some: list[Tensor], others: list[Tensor]) -> float:
    """Largest relative difference of any tensor's norm."""
    pairs = zip(some, others, strict=True)
    return max(float((a - b).norm() / b.norm().clamp(min=1e-12)) for a, b in pairs)


@pytest.mark.parametrize("gradient", OTHERS)
@pytest.mark.parametrize(
    ("name", "direction"), [*((name, 1) for name in DYNAMICS), ("seasonal", -1)]
)
def test_all_ways_agree(name: str, direction: int, gradient: str) -> None:
    """By states, private times and parameters: learned twice, driven by time, differentiating."""
    dynamics = DYNAMICS[name]()
    more = tuple(dynamics.parameters())
    right = gradients(dynamics, more, direction, **TIGHT)
    found = gradients(dynamics, more, direction, gradient=gradient, **TIGHT)
    assert difference(found, right) < AGREES[gradient]


@pytest.mark.parametrize("gradient", OTHERS)
@pytest.mark.parametrize(
    "options",
    [
        STEPS,
        {"solver": "rk4", "step": 0.1},
        {"solver": "midpoint", "n_steps": 100},
        {"solver": "leapfrog", "n_steps": 100},
    ],
    ids=["rk4", "rk4-step", "midpoint", "leapfrog"],
)
def test_fixed_steps_agree(options: dict[str, Any], gradient: str) -> None:
    """Whether their number or their length is given."""
    dynamics = DYNAMICS["seasonal"]()
    more = tuple(dynamics.parameters())
    right = gradients(dynamics, more, **options)
    found = gradients(dynamics, more, gradient=gradient, **options)
    # The adjoint's gradients are those of the limit of short steps.
    assert difference(found, right) < (1e-10 if gradient == "checkpoint" else 1e-2)


@pytest.mark.parametrize("options", [TIGHT, STEPS], ids=["dopri5", "rk4"])
@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
def test_gradients_are_the_finite_differences(gradient: str, options: dict[str, Any]) -> None:
    """Also by times, and by a tensor that a plain function is closed over."""
    y0, times, _ = batch(n_times=2)
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def solved(y0: Tensor, times: Tensor, rate: Tensor) -> Tensor:
        def field(t: Tensor, y: Tensor) -> Tensor:
            return torch.cos(t) * torch.tanh(rate * y.flip(-1))

        return solve(field, y0, times, gradient=gradient, **options).ys

    inputs = (y0[:2].detach().requires_grad_(), times[:2].detach().requires_grad_(), rate)
    assert torch.autograd.gradcheck(solved, inputs, atol=1e-4, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("gradient", OTHERS)
def test_second_derivatives_are_right(gradient: str) -> None:
    """A gradient that is itself part of a loss is differentiated through the steps."""
    dynamics = DYNAMICS["mlp"]()

    def penalty(gradient: str) -> list[Tensor]:
        y0, times, weights = batch()
        ys = solve(dynamics, y0, times, gradient=gradient, **TIGHT).ys
        (slope,) = torch.autograd.grad((ys * weights).sum(), y0, create_graph=True)
        found = torch.autograd.grad(slope.square().sum(), [y0, *dynamics.parameters()])
        return list(found)[:-1]  # the last bias plays no part in this slope's own derivative

    assert difference(penalty(gradient), penalty("autograd")) < 1e-10


@pytest.mark.parametrize("gradient", OTHERS)
def test_what_a_function_is_closed_over_is_found(gradient: str) -> None:
    """A parameter, a module, and rates that come out of an encoder."""
    with seeded_weights(0):
        encoder, module = nn.Linear(2, 2).double(), nn.Linear(2, 2).double()
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    seen = torch.ones(3, 2, dtype=torch.float64)
    more = (scale, *encoder.parameters(), *module.parameters())

    def found(gradient: str) -> list[Tensor]:
        rates = torch.tanh(encoder(seen))

        def field(t: Tensor, y: Tensor) -> Tensor:
            return scale * torch.sin(module(y)) - rates * y

        return gradients(field, more, gradient=gradient, **TIGHT)

    right = found("autograd")
    assert min(float(x.norm()) for x in right) > 0
    assert difference(found(gradient), right) < AGREES[gradient]


def test_dependencies_are_those_that_play_a_part() -> None:
    """Not what is merely at hand, nor the graph before a tensor that is closed over."""
    leaf = torch.ones(2, requires_grad=True)
    other = torch.ones(2, requires_grad=True)
    rates = leaf * 2

    def field(t: Tensor, y: Tensor) -> Tensor:
        (other * y).sum()
        inner = y.detach().requires_grad_()
        return rates * y + 0 * inner

    same, found = dependencies(field, torch.zeros(1, 1), torch.ones(1, 2))
    assert same is field
    assert len(found) == 1
    assert found[0] is rates


@pytest.mark.parametrize("gradient", OTHERS)
def test_a_tensor_used_later_only_has_to_be_named(gradient: str) -> None:
    """A branch on the time hides it from the look at the start."""
    late = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y if float(t.detach().max()) < 0.3 else -late * y

    options = {"solver": "rk4", "n_steps": 60}
    right = gradients(field, (late,), **options)
    found = gradients(field, (late,), gradient=gradient, parameters=[late], **options)
    assert difference(found[2:], right[2:]) < 1e-2


@pytest.mark.parametrize("gradient", OTHERS)
def test_inputs_that_are_learned_are_found(gradient: str) -> None:
    """A driven dynamics is closed over the inputs of its batch."""
    dynamics = made(lambda: MLP(2, n_inputs=1, hidden=8))
    knots = torch.linspace(0, 3, 4, dtype=torch.float64).expand(3, -1)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 4, 1, generator=generator, dtype=torch.float64).requires_grad_()
    options = {"solver": "tsit5", "rtol": 1e-9, "atol": 1e-9}

    def found(gradient: str) -> list[Tensor]:
        driven = Driven(dynamics, InputPath(knots, values))
        by_start, _, *rest = gradients(
            driven, (values, *dynamics.parameters()), gradient=gradient, **options
        )
        # At knots, where the field has kinks, the interpolation is off in its slope.
        return [by_start, *rest]

    assert difference(found(gradient), found("autograd")) < AGREES[gradient]


@pytest.mark.parametrize("gradient", OTHERS)
def test_case_37_the_encoder_alone_is_trained(gradient: str) -> None:
    """With a frozen field gradients reach what comes before it, and the field stays frozen."""
    dynamics = DYNAMICS["seasonal"]()
    dynamics.requires_grad_(False)
    with seeded_weights(0):
        encoder = nn.Linear(2, 2).double()
        decoder = nn.Linear(2, 1).double()
    _, times, _ = batch()

    def found(gradient: str) -> list[Tensor]:
        start = encoder(torch.ones(3, 2, dtype=torch.float64))
        ys = solve(dynamics, start, times.detach(), gradient=gradient, **TIGHT).ys
        trained = [*encoder.parameters(), *decoder.parameters()]
        return list(torch.autograd.grad(decoder(ys).square().sum(), trained))

    assert difference(found(gradient), found("autograd")) < AGREES[gradient]
    assert all(p.grad is None and not p.requires_grad for p in dynamics.parameters())


@pytest.mark.parametrize("gradient", OTHERS)
def test_case_37_every_parameter_gets_its_gradient_and_no_other(gradient: str) -> None:
    """Also one of a field that does not look at the state; an unused one gets none."""

    class Rising(Dynamics):
        def __init__(self) -> None:
            super().__init__(2)
            self.slope = nn.Parameter(torch.ones(2, dtype=torch.float64))
            self.spare = nn.Parameter(torch.ones(2, dtype=torch.float64))

        def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            """Rise at the same rate everywhere."""
            return self.slope.expand_as(state)

    dynamics = Rising()
    y0, times, _ = batch()
    solve(dynamics, y0, times, gradient=gradient, **TIGHT).ys[:, -1].sum().backward()
    span = (times[:, -1] - times[:, 0]).detach().sum()
    torch.testing.assert_close(dynamics.slope.grad, span.expand(2))
    torch.testing.assert_close(y0.grad, torch.ones_like(y0))
    assert dynamics.spare.grad is None


@pytest.mark.parametrize("gradient", OTHERS)
@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_a_density_is_differentiated(divergence: str, gradient: str) -> None:
    """The field of a flow's volume differentiates by itself, whichever way is taken."""
    with seeded_weights(0):
        velocity = Velocity("mlp", 2, 0, params={"hidden": 8}, divergence=divergence).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    probes = torch.ones(1, 1, 2, dtype=torch.float64)

    def found(gradient: str) -> list[Tensor]:
        def field(t: Tensor, state: Tensor) -> Tensor:
            return velocity.with_divergence(t, state[:, :2], x[:, :0], probes)

        start = torch.cat([x, torch.zeros_like(x[:, :1])], -1)
        end = solve(field, start, torch.tensor([1.0, 0.0]), gradient=gradient, **TIGHT).ys[:, 1]
        loss = end[:, 2].sum() - end[:, :2].square().sum() / 2
        return list(torch.autograd.grad(loss, list(velocity.parameters())))

    assert difference(found(gradient), found("autograd")) < AGREES[gradient]


@pytest.mark.parametrize("gradient", OTHERS)
@pytest.mark.parametrize("solver", ["dopri5", "rk4"])
def test_a_failing_row_leaves_the_gradients_of_the_others(solver: str, gradient: str) -> None:
    """What is infinite in it reaches no parameter that all share."""
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[0.5], [3.0], [-0.5]], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    options: dict[str, Any] = {"solver": solver, "n_steps": 20, "rtol": 1e-7, "atol": 1e-7}

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(y > 2, torch.nan, rate * y**3)

    solution = solve(field, y0, times, gradient=gradient, on_failure="nan", **options)
    assert (solution.status != 0).tolist() == [False, True, False]
    good = solution.ys[[0, 2]].sum()
    found = torch.autograd.grad(good, [y0, rate])
    alone = solve(field, y0[[0, 2]], times, **options).ys.sum()
    right = torch.autograd.grad(alone, [y0, rate])
    assert difference(list(found), list(right)) < 1e-5


@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
@pytest.mark.parametrize("solver", ["dopri5", "rk4", "leapfrog"])
@pytest.mark.parametrize("given", ["y0", "rate"])
def test_gradients_of_nothing_but_failures_are_zero(given: str, solver: str, gradient: str) -> None:
    """A loss of what is left, which is nothing, can go back all the same."""
    y0 = torch.full((2, 2), 5.0, dtype=torch.float64, requires_grad=given == "y0")
    rate = torch.tensor(3.0, dtype=torch.float64, requires_grad=given == "rate")
    times = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    solution = solve(
        lambda t, y: rate * y**3,
        y0,
        times,
        solver=solver,
        n_steps=50,
        gradient=gradient,
        on_failure="nan",
    )
    assert (solution.status != 0).all()
    torch.nansum(solution.ys[:, 1:]).backward()
    assert y0.grad is None or not y0.grad.any()
    assert rate.grad is None


@pytest.mark.parametrize("gradient", OTHERS)
def test_rows_that_are_put_aside_keep_their_gradients(gradient: str) -> None:
    """Rows of very different spans, some of none, with repeated times, some padded."""
    dynamics = DYNAMICS["seasonal"]()
    generator = torch.Generator().manual_seed(0)
    y0 = torch.randn(8, 2, generator=generator, dtype=torch.float64).requires_grad_()
    span = torch.tensor([0.0, 0.01, 0.1, 0.1, 0.5, 3.0, 6.0, -6.0], dtype=torch.float64)
    times = span[:, None] * torch.tensor([0.0, 0.2, 0.2, 0.7, 1.0, 1.0], dtype=torch.float64)
    mask = torch.ones(8, 6, dtype=torch.bool)
    mask[4, 3:] = False

    def found(gradient: str) -> list[Tensor]:
        ys = solve(dynamics, y0, times, gradient=gradient, mask=mask, **TIGHT).ys
        return list(torch.autograd.grad(ys.square().sum(), [y0, *dynamics.parameters()]))

    assert difference(found(gradient), found("autograd")) < AGREES[gradient]


def test_adjoint_gradients_scale_with_the_loss() -> None:
    """However small a loss is: the tolerances are relative to the adjoint's size."""
    dynamics = DYNAMICS["mlp"]()
    options = {"solver": "dopri5", "gradient": "adjoint"}
    y0, times, _ = batch()

    def found(scale: float) -> list[Tensor]:
        ys = solve(dynamics, y0, times, **options).ys
        return list(torch.autograd.grad(scale * ys.sum(), [y0, *dynamics.parameters()]))

    torch.testing.assert_close([x * 2.0**-30 for x in found(1)], found(2.0**-30))


def test_the_adjoint_warns_where_the_way_back_is_another() -> None:
    """Decay is lost going back: in fixed steps, and at loose tolerances."""
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for options in ({"solver": "rk4", "n_steps": 12}, {"solver": "dopri5"}):
        ys = solve(lambda t, y: -20 * y, y0, times, gradient="adjoint", **options).ys
        with pytest.warns(GradientWarning, match=r"missed the state there by"):
            ys.sum().backward()


def test_a_way_back_that_fails_says_so() -> None:
    """A state that has come to rest goes to infinity before it is back at the start."""
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    ys = solve(lambda t, y: -(y**3) * 1e4, y0, times, solver="dopri5", gradient="adjoint").ys
    with pytest.raises(SolverError, match=r"could not be integrated backward.*checkpoint"):
        ys.sum().backward()


def test_nothing_is_kept_where_nothing_is_learned() -> None:
    """Without anything to be differentiated by, and where gradients are off."""
    y0, times, _ = batch()
    for gradient in OTHERS:
        ys = solve(lambda t, y: -y, y0.detach(), times.detach(), gradient=gradient).ys
        assert not ys.requires_grad
        with torch.no_grad():
            assert not solve(lambda t, y: -y, y0, times, gradient=gradient).ys.requires_grad


def test_a_closed_form_is_differentiated_by_itself() -> None:
    """The way makes no difference."""
    dynamics = made(lambda: Linear(2))
    right = gradients(dynamics, tuple(dynamics.parameters()))
    for gradient in OTHERS:
        found = gradients(dynamics, tuple(dynamics.parameters()), gradient=gradient)
        assert difference(found, right) == 0


def test_what_a_method_does_not_have_is_refused() -> None:
    """Unknown ways, and the adjoint of the package's own stochastic methods."""
    y0, times, _ = batch()
    with pytest.raises(SolverError, match=r"gradient='magic' is unknown: use one of autograd"):
        solve(lambda t, y: -y, y0, times, gradient="magic")  # type: ignore[arg-type]  # the point
    with pytest.raises(SolverError, match=r"EulerMaruyama has no gradient='adjoint'.*torchsde"):
        solve(SDE(2), y0.float(), times, solver="euler_maruyama", seed=0, gradient="adjoint")


def kept(gradient: str, n_steps: int) -> int:
    """Bytes that a solve keeps for the way back, by the hooks of saved tensors."""
    dynamics = DYNAMICS["mlp"]()
    y0, times, _ = batch(n_times=2)
    storages: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        ys = solve(dynamics, y0, times, gradient=gradient, solver="rk4", n_steps=n_steps).ys
    del ys
    return sum(storages.values())


def test_memory_of_the_ways() -> None:
    """The adjoint's does not grow with the steps, checkpoints' as their square root."""
    few, many = 10, 160
    assert kept("adjoint", many) == kept("adjoint", few)
    assert kept("checkpoint", many) < kept("autograd", many) / 4
    sizes = [kept("checkpoint", n) for n in (40, 160)]
    assert all(later < 2.5 * before for before, later in pairwise(sizes))
    assert math.isclose(kept("autograd", many) / kept("autograd", 2 * many), 0.5, rel_tol=0.1)


BEFOREHAND: dict[str, Callable[[Tensor], Tensor]] = {
    "shifted": lambda w: w + 1,
    "scaled": lambda w: 2 * w,
    "exponential": torch.exp,
}
ELSEWHERE: list[dict[str, Any]] = [
    {"solver": "rk4", "n_steps": 30, "gradient": "checkpoint"},
    {"solver": "dopri5", "gradient": "adjoint"},
    {"solver": "torchdiffeq:dopri5", "gradient": "adjoint"},
    {"solver": "torchdiffeq:scipy_rk45", "gradient": "adjoint"},
]


@pytest.mark.parametrize("alone", [False, True], ids=["through", "both"])
@pytest.mark.parametrize("options", ELSEWHERE, ids=lambda options: options["solver"])
@pytest.mark.parametrize("make", BEFOREHAND)
def test_what_is_named_counts_once(make: str, options: dict[str, Any], alone: bool) -> None:
    """Though the field uses what was computed of it before, or also itself."""

    def found(**options: Any) -> list[Tensor]:
        w = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
        b = torch.tensor([0.1], dtype=torch.float64, requires_grad=True)
        k = BEFOREHAND[make](w)

        def field(t: Tensor, y: Tensor) -> Tensor:
            return b * w - k * y if alone else b - k * y

        y0 = torch.ones(2, 1, dtype=torch.float64)
        options = {"parameters": [w], "rtol": 1e-6, "atol": 1e-6} | options
        solve(field, y0, torch.tensor([0.0, 1.0, 2.0]), **options).ys.sum().backward()
        return [x.grad for x in (w, b) if x.grad is not None]

    right = found(solver="dopri5")
    torch.testing.assert_close(found(**options), right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gradient", OTHERS)
def test_a_module_that_keeps_what_it_computed_of_a_parameter(gradient: str) -> None:
    """The parameter is known, and reaches the field through a tensor only."""

    class Decay(Dynamics):
        def __init__(self) -> None:
            super().__init__(1)
            self.raw = nn.Parameter(torch.tensor([0.3], dtype=torch.float64))
            self.rate = nn.functional.softplus(self.raw)

        def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            """Decay at the rate that is kept."""
            return -self.rate * state

    y0 = torch.ones(2, 1, dtype=torch.float64)

    def found(gradient: Any) -> Tensor | None:
        dynamics = Decay()
        ys = solve(dynamics, y0, torch.tensor([0.0, 1.0]), gradient=gradient, n_steps=30).ys
        ys.sum().backward()
        return dynamics.raw.grad

    torch.testing.assert_close(found(gradient), found("autograd"), rtol=1e-5, atol=0)


@pytest.mark.parametrize("gradient", OTHERS)
def test_inputs_out_of_an_encoder_that_is_named(gradient: str) -> None:
    """Its parameters count once, with those of the dynamics."""
    with seeded_weights(0):
        encoder = nn.Linear(1, 1).double()
    dynamics = made(lambda: MLP(2, n_inputs=1, hidden=4))
    times = torch.arange(3, dtype=torch.float64)
    y0 = torch.ones(1, 2, dtype=torch.float64)
    learned = [*encoder.parameters(), *dynamics.parameters()]

    def found(gradient: Any) -> list[Tensor]:
        path = InputPath(times[None], encoder(torch.ones_like(times)[None, :, None]))
        driven = Driven(dynamics, path)
        options: dict[str, Any] = {"parameters": encoder.parameters(), "n_steps": 30}
        ys = solve(driven, y0, times, gradient=gradient, **options).ys
        return list(torch.autograd.grad(ys.sum(), learned))

    assert difference(found(gradient), found("autograd")) < 1e-4


def test_what_cannot_be_told_apart_is_refused() -> None:
    """A function of one's own hides that it takes a parameter which counts elsewhere too."""

    class Times(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Tensor, y: Tensor) -> Tensor:
            ctx.save_for_backward(w, y)
            return w * y

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
            w, y = ctx.saved_tensors
            return (grad * y).sum(), grad * w

    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    rate, y0 = w.exp(), torch.ones(2, 1, dtype=torch.float64)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return rate * Times.apply(w, y)

    with pytest.raises(SolverError, match=r"a way of its own.*compute that within the field"):
        solve(field, y0, torch.tensor([0.0, 1.0]), gradient="checkpoint")


@pytest.mark.parametrize("gradient", OTHERS)
def test_what_comes_before_the_start_and_is_a_parameter_counts_once(gradient: str) -> None:
    """Where gradients are differentiated again, and in themselves."""
    w = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)

    def found(gradient: Any) -> list[Tensor]:
        y0 = w * torch.ones(2, 1, dtype=torch.float64)
        times = torch.tensor([0.0, 1.0])
        ys = solve(lambda t, y: -w * y**2, y0, times, gradient=gradient).ys
        (slope,) = torch.autograd.grad(ys.sum(), w, create_graph=True)
        return [slope.detach(), *torch.autograd.grad(slope.square().sum(), w)]

    assert difference(found(gradient), found("autograd")) < 1e-10


def jumped(times: Tensor, **options: Any) -> Tensor:
    """A weighted sum of the answers at times, under an input that jumps."""
    dynamics = made(lambda: MLP(2, n_inputs=1, hidden=6))
    values = torch.tensor([1.0, -2.0, 1.5, -1.0], dtype=torch.float64)[None, :, None]
    knots = torch.tensor([[0.3, 0.8, 1.5, 2.2]], dtype=torch.float64)
    driven = Driven(dynamics, InputPath(knots, values, interpolation="previous"))
    ys = solve(driven, torch.ones(1, 2, dtype=torch.float64), times, **options).ys
    return (ys * torch.arange(1, 9, dtype=torch.float64).view(1, 4, 2)).sum()


@pytest.fixture(scope="module")
def by_jumped_times() -> tuple[Tensor, Tensor]:
    """Times, and the finite differences of the exact solution by them."""
    times = torch.tensor([[0.0, 0.7, 1.1, 2.5]], dtype=torch.float64)
    shifts = 1e-4 * torch.eye(4, dtype=torch.float64)[:, None]
    finely: dict[str, Any] = {"solver": "dopri5", "rtol": 1e-10, "atol": 1e-10}
    with torch.no_grad():
        apart = [float(jumped(times + d, **finely) - jumped(times - d, **finely)) for d in shifts]
    return times, torch.tensor([apart], dtype=torch.float64) / 2e-4


@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
@pytest.mark.parametrize(
    "options", [TIGHT, {"solver": "rk4", "n_steps": 200}], ids=["dopri5", "rk4"]
)
def test_derivatives_by_the_times_where_inputs_jump(
    by_jumped_times: tuple[Tensor, Tensor], options: dict[str, Any], gradient: Any
) -> None:
    """They are the finite differences of the exact solution, whatever the steps make of a jump."""
    given, right = by_jumped_times
    times = given.clone().requires_grad_()
    (found,) = torch.autograd.grad(jumped(times, gradient=gradient, **options), times)
    torch.testing.assert_close(found, right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
def test_derivatives_by_the_times_of_rows_that_stay(gradient: Any, solver: str) -> None:
    """They are those of any other; a row that fails has none, and spoils none."""
    times = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], requires_grad=True)
    y0 = torch.tensor([[1.0, 2.0], [math.nan, 1.0], [0.0, 0.0]])
    ys = solve(lambda t, y: -y, y0, times, solver=solver, gradient=gradient, on_failure="nan").ys
    (found,) = torch.autograd.grad(ys[:, 1].nansum(), times)
    torch.testing.assert_close(found, torch.tensor([[3.0, -3.0], [0.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
def test_second_derivatives_by_the_times(gradient: Any) -> None:
    r"""Of :math:`y_0 e^{(t_1^2 - t_0^2) / 2}`, by both times and the state."""
    times = torch.tensor([[0.3, 1.1]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.3]], dtype=torch.float64, requires_grad=True)

    def end(times: Tensor, y0: Tensor) -> Tensor:
        return solve(lambda t, y: t * y, y0, times, gradient=gradient, **TIGHT).ys[0, 1, 0]

    def right(times: Tensor, y0: Tensor) -> Tensor:
        return y0[0, 0] * torch.exp((times[0, 1] ** 2 - times[0, 0] ** 2) / 2)

    found = torch.autograd.functional.hessian(end, (times, y0))
    exact = torch.autograd.functional.hessian(right, (times, y0))
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
@pytest.mark.parametrize("start", [0, 1], ids=["first by the rates", "first by the times"])
def test_second_derivatives_by_times_and_rates(start: int, gradient: Any) -> None:
    r"""Of :math:`y_0 e^{a b (t_1 - t_0)}`, in either order; b makes the states and times too."""
    times = torch.tensor([[0.2, 0.9], [0.4, 0.1]], dtype=torch.float64, requires_grad=True)
    a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.7, 1.2))
    y0 = torch.tensor([[1.3], [-0.4]], dtype=torch.float64) * b
    at = times / b.square()
    ys = solve(lambda t, y: a * b * y, y0, at, gradient=gradient, **TIGHT).ys
    exact = y0 * torch.exp(a * b * (at[:, 1:] - at[:, :1]))
    orders = [(a, b), (times,)] if start == 0 else [(times,), (a, b)]

    def mixed(end: Tensor) -> list[Tensor]:
        first = torch.autograd.grad(end.sum(), orders[0], create_graph=True)
        return list(torch.autograd.grad([x.sum() for x in first], orders[1], retain_graph=True))

    torch.testing.assert_close(mixed(ys[:, 1]), mixed(exact), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
def test_a_residual_of_zero_has_a_second_derivative_by_its_time(gradient: Any) -> None:
    r"""Of :math:`(y - 1)^2 / 2` with :math:`y = 1`: the slope squared."""
    times = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y0 = -torch.ones(1, 1, dtype=torch.float64)
    ys = solve(lambda t, y: rate + 0 * y, y0, times, gradient=gradient, **TIGHT).ys
    loss = (ys[0, 1, 0] - ys[0, 1, 0].detach()).square() / 2
    (first,) = torch.autograd.grad(loss, times, create_graph=True)
    (second,) = torch.autograd.grad(first[0, 1], times)
    torch.testing.assert_close(second, torch.tensor([[-4.0, 4.0]], dtype=torch.float64))


@pytest.mark.parametrize("gradient", ["autograd", *OTHERS])
def test_a_single_time_moves_nothing(gradient: Any) -> None:
    """The state at the first time is the given one."""
    times = torch.zeros(2, 1, requires_grad=True)
    y0 = torch.ones(2, 3, requires_grad=True)
    ys = solve(lambda t, y: -y, y0, times, gradient=gradient).ys
    by_times, by_start = torch.autograd.grad(ys.sum(), (times, y0))
    assert bool((by_times == 0).all())
    assert bool((by_start == 1).all())


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")  # torch's own
def test_forward_mode_is_right_or_refused() -> None:
    """By states and rates it is right; by times, and of events, it is not known."""
    y0, times = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    one = torch.ones_like

    def end(y0: Tensor) -> Tensor:
        return solve(lambda t, y: -y, y0, times, **TIGHT).ys[:, -1]

    (_, found) = torch.func.jvp(end, (y0,), (one(y0),))
    torch.testing.assert_close(found, y0 * math.exp(-1), rtol=1e-6, atol=0)
    with pytest.raises(SolverError, match="no derivatives by the times in forward mode"):
        torch.func.jvp(lambda t: solve(lambda t, y: -y, y0, t).ys, (times,), (one(times),))

    def crossing(level: Tensor) -> Tensor:
        return solve_event(lambda t, y: -y, y0, times, lambda t, y: y[:, 0] - level).times

    level = torch.tensor(0.5, dtype=torch.float64)
    with pytest.raises(SolverError, match="no derivatives of an event in forward mode"):
        torch.func.jvp(crossing, (level,), (one(level),))
