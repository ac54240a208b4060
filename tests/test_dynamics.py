"""Laws of the dynamics: what is lifted and read, what drives them, what each is for."""

from __future__ import annotations

import cmath
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from odeseries import solve
from odeseries.driving import Driven, InputPath
from odeseries.dynamics import MLP, Augmented, Hamiltonian, Linear, SecondOrder
from odeseries.interfaces import Dynamics
from odeseries.nets import Potential
from odeseries.plugins import get

DIM = 4
MAKERS: dict[str, Callable[[int], Dynamics]] = {
    "mlp": lambda n: MLP(DIM, n_inputs=n, hidden=8),
    "linear": lambda n: Linear(DIM, n_inputs=n),
    "augmented": lambda n: Augmented(DIM, n_inputs=n, extra_dims=3, hidden=8),
    "second_order": lambda n: SecondOrder(DIM, n_inputs=n, hidden=8),
    "second_order, given": lambda n: SecondOrder(DIM, n_inputs=n, hidden=8, velocity="given"),
    "second_order, timed": lambda n: SecondOrder(DIM, n_inputs=n, hidden=8, autonomous=False),
    "hamiltonian": lambda n: Hamiltonian(DIM, n_inputs=n, hidden=8),
    "hamiltonian, port": lambda n: Hamiltonian(DIM, n_inputs=n, hidden=8, dissipation=True),
    "hamiltonian, separable": lambda n: Hamiltonian(DIM, n_inputs=n, hidden=8, separable=True),
}
HAMILTONIANS = {"full": {}, "separable": {"separable": True}}


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Networks are drawn from the global generator."""
    torch.manual_seed(0)


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Dynamics]:
    """One kind of dynamics, to be made with a number of inputs."""
    maker = MAKERS[request.param]
    return lambda n: maker(n).double()


def states(dynamics: Dynamics, *shape: int) -> Tensor:
    """Random states."""
    return torch.randn(*shape, dynamics.state_dim, dtype=torch.float64)


def test_are_built_in() -> None:
    """Their names find them, and their classes state the order."""
    classes = [MLP, Linear, Augmented, SecondOrder, Hamiltonian]
    names = ["mlp", "linear", "augmented", "second_order", "hamiltonian"]
    assert [get("dynamics", name) for name in names] == classes
    assert all(cls.takes_inputs for cls in classes)
    assert [cls.order for cls in classes] == [1, 1, 1, 2, 1]


def test_reading_inverts_lifting(make: Callable[[int], Dynamics]) -> None:
    """The vector that was lifted is read back, exactly; leading axes are kept."""
    dynamics = make(0)
    z = torch.randn(5, 3, DIM, dtype=torch.float64)
    state = dynamics.lift(z)
    assert state.shape == (5, 3, dynamics.state_dim)
    assert torch.equal(dynamics.read(state), z)


@pytest.mark.parametrize("n_inputs", [0, 2])
def test_gradients_reach_every_parameter(make: Callable[[int], Dynamics], n_inputs: int) -> None:
    """From the derivative and from the lifted state, once a part that begins as zero is not."""
    dynamics = make(n_inputs)
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    state = dynamics.lift(torch.randn(20, DIM, dtype=torch.float64))
    inputs = torch.randn(20, n_inputs, dtype=torch.float64)
    slope = dynamics(torch.rand(20, 1, dtype=torch.float64), state, inputs)
    (slope * torch.randn_like(slope) + state).sum().backward()
    for name, parameter in dynamics.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_gradients_are_right(make: Callable[[int], Dynamics]) -> None:
    """Against differences, for states, inputs and the first parameter."""
    dynamics = make(2)
    state, inputs = states(dynamics, 2), torch.randn(2, 2, dtype=torch.float64)
    t = torch.rand(2, 1, dtype=torch.float64)
    name, parameter = next(p for p in dynamics.named_parameters() if "velocity" not in p[0])

    def field(value: Tensor, state: Tensor, inputs: Tensor) -> Tensor:
        args = (t, state, inputs)
        return torch.func.functional_call(dynamics, {name: value}, args)

    arguments = [x.detach().clone().requires_grad_() for x in (parameter, state, inputs)]
    assert torch.autograd.gradcheck(field, arguments)


def test_rows_are_independent(make: Callable[[int], Dynamics]) -> None:
    """A row among others has the derivative that it has alone."""
    dynamics = make(2)
    state, inputs = states(dynamics, 6), torch.randn(6, 2, dtype=torch.float64)
    t = torch.rand(6, 1, dtype=torch.float64)
    together = dynamics(t, state, inputs)
    alone = dynamics(t[2:3], state[2:3], inputs[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=1e-14)


def test_inputs_move_the_field(make: Callable[[int], Dynamics]) -> None:
    """Each of them; one value for all inner axes is broadcast."""
    dynamics = make(2)
    state = states(dynamics, 3, 5)
    t = torch.zeros(3, 1, 1, dtype=torch.float64)
    still = torch.zeros(3, 1, 2, dtype=torch.float64)
    resting = dynamics(t, state, still)
    assert resting.shape == state.shape
    for i in range(2):
        pushed = still.clone()
        pushed[..., i] = 1.0
        assert (dynamics(t, state, pushed) - resting).abs().amax(-1).min() > 1e-3


def test_missing_inputs_are_refused(make: Callable[[int], Dynamics]) -> None:
    """With the numbers; without inputs there is nothing to miss."""
    dynamics = make(2)
    t, state = torch.zeros(1, dtype=torch.float64), states(dynamics, 3)
    with pytest.raises(ValueError, match="n_inputs=2, but none were given"):
        dynamics(t, state)
    with pytest.raises(ValueError, match="n_inputs=2, but 3 were given"):
        dynamics(t, state, torch.zeros(3, 3, dtype=torch.float64))


def test_are_stored(make: Callable[[int], Dynamics]) -> None:
    """A pickled copy is the same field, and so is a new one with the weights."""
    dynamics, again = make(1), make(1)
    again.load_state_dict(dynamics.state_dict())
    t = torch.full((3, 1), 0.3, dtype=torch.float64)
    state, inputs = states(dynamics, 3), torch.ones(3, 1, dtype=torch.float64)
    right = dynamics(t, state, inputs)
    assert torch.equal(again(t, state, inputs), right)
    assert torch.equal(pickle.loads(pickle.dumps(dynamics))(t, state, inputs), right)  # noqa: S301


# The flow of the linear one.


@pytest.mark.parametrize("elapsed", [1e-9, 0.3, 4.0, -0.5])
def test_driven_linear_flow_solves_the_field(elapsed: float) -> None:
    """Under constant inputs, forward and back, the closed form agrees with small steps."""
    dynamics = Linear(5, n_inputs=2).double()
    start, inputs = states(dynamics, 3), torch.randn(3, 2, dtype=torch.float64)
    t0 = torch.full((3, 1), 1.0, dtype=torch.float64)
    found = dynamics.flow(start, t0, t0 + elapsed, inputs)
    right = solve(
        lambda t, y: dynamics(t, y, inputs),
        start,
        torch.tensor([1.0, 1.0 + elapsed], dtype=torch.float64),
        n_steps=400,
    ).ys[:, 1]
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 6), (3, 1, 2, 6)])
def test_driven_linear_flow_passes_through_successive_times(shape: tuple[int, ...]) -> None:
    """All legs at once, their gradients too, are one flow after another; so are a heir's own."""

    class Hurried(Linear):
        def flow(self, state: Any, t0: Any, t1: Any, inputs: Any = None) -> Any:
            return super().flow(state, 2 * t0, 2 * t1, inputs)

    between = [1] * (len(shape) - 3)
    for kind in (Linear, Hurried):
        dynamics = kind(5, n_inputs=2).double()
        start = torch.randn(shape, dtype=torch.float64)
        times = torch.tensor([[0.0, 0.4, 0.4, 2.0], [1.0, 0.5, 0.0, -9.0], [0.0, 0.0, 0.0, 1e-9]])
        times = times.double().reshape(3, 4, *between, 1)
        inputs = torch.randn(3, 3, *between, 2, dtype=torch.float64)
        given = (*dynamics.parameters(), start.requires_grad_(), inputs.requires_grad_())
        at_once = dynamics.flow_through(start, times, inputs)
        one_by_one = Dynamics.flow_through(dynamics, start, times, inputs)
        torch.testing.assert_close(at_once, one_by_one, rtol=1e-12, atol=1e-12)
        found, right = (
            torch.autograd.grad(states.square().sum(), given) for states in (at_once, one_by_one)
        )
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "autocast"),
    [
        *((d, False) for d in (torch.float16, torch.bfloat16, torch.float32, torch.float64)),
        *((d, True) for d in (torch.bfloat16, torch.float32, torch.float64)),
    ],
)
def test_driven_linear_flow_in_other_precisions(dtype: torch.dtype, autocast: bool) -> None:
    """Dtypes come out as of one flow after another, under autocast too."""
    dynamics = Linear(4, n_inputs=2)
    dynamics = dynamics if autocast else dynamics.to(dtype)
    start, times = torch.randn(3, 1, 4).to(dtype), torch.rand(3, 4, 1).sort(1).values.to(dtype)
    inputs = torch.randn(3, 3, 2).to(torch.float32 if autocast else dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        at_once = dynamics.flow_through(start, times, inputs)
        one_by_one = Dynamics.flow_through(dynamics, start, times, inputs)
    assert at_once.dtype == one_by_one.dtype
    torch.testing.assert_close(at_once, one_by_one, rtol=0.02, atol=0.02)


def test_driven_linear_flow_is_accurate_for_short_times() -> None:
    """In float32 the effect of an input over a short time has no cancellation."""
    dynamics = Linear(4, n_inputs=1)
    elapsed, zero = torch.tensor([[1e-6]]), torch.zeros(1, 4)
    moved = dynamics.flow(zero, torch.zeros(1, 1), elapsed, torch.ones(1, 1))
    rate = dynamics(torch.zeros(1), zero, torch.ones(1, 1))
    torch.testing.assert_close(moved / elapsed, rate, rtol=1e-4, atol=0)


def test_linear_never_grows() -> None:
    """Whatever the parameters, no mode gains forward in time."""
    dynamics = Linear(8).double()
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.copy_(10 * torch.randn_like(parameter))
    start = states(dynamics, 50)
    later = dynamics.flow(start, torch.zeros(50, 1).double(), torch.rand(50, 1).double())
    assert bool((later.norm(dim=-1) <= start.norm(dim=-1)).all())


# Augmented: paths may cross.


def test_augmented_paths_cross_in_one_dimension() -> None:
    """Swapping 1 and -1 is beyond every field on the line, and in reach with one dimension more."""
    augmented = Augmented(1, extra_dims=1, hidden=16)
    start, times = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.0, 1.0])
    optimiser = torch.optim.Adam(augmented.parameters(), lr=0.02)
    for _ in range(120):
        end = augmented.read(solve(augmented, augmented.lift(start), times, n_steps=5).ys[:, 1])
        loss = (end + start).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 1e-2


def test_paths_on_the_line_keep_their_order() -> None:
    """Why the plain field can't: for any parameters the lower path stays the lower one."""
    start, times = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.0, 1.0])
    for seed in range(10):
        torch.manual_seed(seed)
        field = MLP(1, hidden=16)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.mul_(2)
            lower, upper = solve(field, start, times, n_steps=100).ys[:, 1, 0]
        assert lower < upper


def test_augmented_needs_a_dimension() -> None:
    """Otherwise another name is meant."""
    with pytest.raises(ValueError, match="extra_dims=0 must be at least 1"):
        Augmented(2, extra_dims=0)


# Second order.


@pytest.mark.parametrize("velocity", ["learned", "given"])
def test_position_moves_with_the_velocity(velocity: str) -> None:
    """The first half of the field is the second half of the state."""
    dynamics = SecondOrder(DIM, n_inputs=1, velocity=velocity)
    state, half = torch.randn(6, dynamics.state_dim), dynamics.state_dim // 2
    slope = dynamics(torch.zeros(6, 1), state, torch.ones(6, 1))
    assert torch.equal(slope[:, :half], state[:, half:])


def test_acceleration_sees_the_velocity() -> None:
    """So that friction can be learned."""
    dynamics = SecondOrder(1)
    slow, fast = torch.tensor([[0.3, 0.0], [0.3, 1.0]])
    t = torch.zeros(1)
    assert dynamics(t, slow)[1] != dynamics(t, fast)[1]


def test_initial_velocity_is_learned_or_given() -> None:
    """Learned it depends on the position; given it is the second half of the vector."""
    z = torch.randn(2, DIM)
    learned, given = SecondOrder(DIM), SecondOrder(DIM, velocity="given")
    velocities = learned.lift(z)[:, DIM:]
    assert not torch.equal(velocities[0], velocities[1])
    assert torch.equal(given.lift(z), z)
    with pytest.raises(ValueError, match="dim=3 is odd"):
        SecondOrder(3, velocity="given")
    with pytest.raises(ValueError, match="use 'learned' or 'given'"):
        SecondOrder(2, velocity="zero")


def test_second_order_begins_as_damped_springs() -> None:
    """Far from all data too, where a bounded force would let go."""
    dynamics = SecondOrder(1, n_inputs=1).double()
    start = torch.tensor([[1.0, 0.0], [1000.0, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        dynamics.springs.bias.zero_()
        dynamics.springs.weight[:, 2].zero_()
    path = InputPath(torch.zeros(2, 1).double(), torch.zeros(2, 1, 1).double())
    ys = solve(Driven(dynamics, path), start, torch.tensor([0.0, 2.0, 20.0]), n_steps=100).ys
    torch.testing.assert_close(ys[1], 1000 * ys[0])
    assert ys[0, 1, 0] < 0
    assert ys[0, 2].norm() < 0.01


@pytest.mark.parametrize("autonomous", [True, False])
def test_time_matters_if_it_is_said_to(autonomous: bool) -> None:
    """And the instance states it."""
    dynamics, state = SecondOrder(2, autonomous=autonomous), torch.ones(1, 4)
    same = torch.equal(dynamics(torch.tensor(0.0), state), dynamics(torch.tensor(5.0), state))
    assert same == autonomous == dynamics.autonomous


# Hamiltonian.


@pytest.mark.parametrize("depth", [1, 3])
def test_gradient_of_a_potential(depth: int) -> None:
    """The written-out gradient is autograd's."""
    potential = Potential(3, 8, depth).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    (right,) = torch.autograd.grad(potential(x).sum(), x)
    torch.testing.assert_close(potential.gradient(x), right, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", HAMILTONIANS)
def test_field_is_the_symplectic_gradient(kind: str) -> None:
    """Hamilton's equations, with the energy that is offered."""
    dynamics = Hamiltonian(DIM, hidden=8, **HAMILTONIANS[kind]).double()
    state = states(dynamics, 5).requires_grad_()
    (slope,) = torch.autograd.grad(dynamics.energy(state).sum(), state)
    right = torch.cat([slope[:, 2:], -slope[:, :2]], -1)
    torch.testing.assert_close(dynamics(torch.zeros(1), state), right, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", HAMILTONIANS)
def test_volumes_are_kept(kind: str) -> None:
    """The divergence of the field is zero, though its Jacobian is not."""
    dynamics = Hamiltonian(DIM, hidden=8, **HAMILTONIANS[kind]).double()
    for state in states(dynamics, 5):
        jacobian = torch.func.jacrev(lambda y: dynamics(torch.zeros(1), y))(state).detach()
        assert float(jacobian.trace()) == pytest.approx(0, abs=1e-14)
        assert float(jacobian.norm()) > 1e-2


@pytest.mark.parametrize("kind", HAMILTONIANS)
def test_energy_is_kept(kind: str) -> None:
    """Along a path, as well as the solver solves; states move."""
    dynamics = Hamiltonian(DIM, hidden=8, **HAMILTONIANS[kind]).double()
    start = states(dynamics, 5)
    path = solve(dynamics, start, torch.tensor([0.0, 2.0, 8.0]), n_steps=400).ys
    energy = dynamics.energy(path)
    assert (path[:, 1] - path[:, 0]).norm(dim=-1).min() > 1e-2
    torch.testing.assert_close(energy, energy[:, :1].expand_as(energy), rtol=0, atol=1e-8)


def test_springs_may_be_left_out() -> None:
    """Then what is level far away stays so: forces fade."""
    dynamics, far = Hamiltonian(DIM, hidden=8, springs=False), torch.full((1, DIM), 1e4)
    assert float(dynamics(torch.zeros(1), far).detach().abs().max()) < 1e-3


@pytest.mark.parametrize("kind", HAMILTONIANS)
def test_springs_hold_paths_together(kind: str) -> None:
    """From far away as well, where a perceptron's energy alone would be level."""
    dynamics = Hamiltonian(DIM, hidden=8, **HAMILTONIANS[kind]).double()
    start = 100 * states(dynamics, 5)
    path = solve(dynamics, start, torch.linspace(0, 50, 20), n_steps=200).ys
    ratio = path.norm(dim=-1) / start.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=0.02)


def test_dissipation_takes_energy() -> None:
    """Everywhere but at rest, and by as much as dH/dt = -R (dH/dp)^2 says."""
    dynamics = Hamiltonian(DIM, hidden=8, dissipation=True).double()
    path = solve(dynamics, states(dynamics, 5), torch.linspace(0, 20, 50), n_steps=400).ys
    assert bool((dynamics.energy(path).diff(dim=1) < 0).all())


def test_forces_do_not_move_positions_at_once() -> None:
    """Inputs act on the momenta."""
    dynamics = Hamiltonian(DIM, n_inputs=1)
    state, t = torch.randn(3, DIM), torch.zeros(1)
    moved = dynamics(t, state, torch.ones(3, 1)) - dynamics(t, state, torch.zeros(3, 1))
    assert torch.equal(moved[:, :2], torch.zeros(3, 2))
    assert bool((moved[:, 2:] != 0).all())


def test_separable_positions_move_by_momenta_alone() -> None:
    """As leapfrog needs it."""
    dynamics = Hamiltonian(DIM, separable=True)
    state, t = torch.randn(3, DIM), torch.zeros(1)
    other = torch.cat([torch.randn(3, 2), state[:, 2:]], -1)
    assert torch.equal(dynamics(t, state)[:, :2], dynamics(t, other)[:, :2])
    assert not torch.equal(dynamics(t, state)[:, 2:], dynamics(t, other)[:, 2:])


def test_odd_hamiltonian_is_refused() -> None:
    """With what to take instead."""
    with pytest.raises(ValueError, match=r"dim=3 is odd.*second_order"):
        Hamiltonian(3)


def test_works_where_gradients_are_off() -> None:
    """Forecasts are made in inference mode."""
    dynamics = Hamiltonian(2)
    with torch.inference_mode():
        slope = dynamics(torch.zeros(1), torch.ones(1, 2))
    assert not slope.requires_grad
    assert torch.equal(slope, dynamics(torch.zeros(1), torch.ones(1, 2)).detach())


def test_implicit_methods_know_the_jacobian_in_inference_mode() -> None:
    """Of a stiff field; without it there are many more evaluations."""
    y0, times = torch.tensor([[2.0, 0.0]]), torch.tensor([0.0, 1.0])

    def stiff(t: Tensor, y: Tensor) -> Tensor:
        place, speed = y.chunk(2, -1)
        return torch.cat([speed, 100 * (1 - place**2) * speed - place], -1)

    expected = solve(stiff, y0, times, solver="torchdiffeq:scipy_radau")
    with torch.inference_mode():
        found = solve(stiff, y0.clone(), times.clone(), solver="torchdiffeq:scipy_radau")
    assert torch.equal(found.stats.nfe, expected.stats.nfe)
    torch.testing.assert_close(found.ys, expected.ys)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8, 9e-4, 1.1e-3, 0.1])
def test_driven_linear_flow_of_slow_modes(scale: float, dtype: torch.dtype) -> None:
    """Is finite and right down to rates of 0, and so are its gradients by the rates."""
    dynamics = Linear(2, n_inputs=1).to(dtype)
    dynamics.raw_damping.data.fill_(math.log(math.expm1(0.5 * scale)) if scale else -800.0)
    dynamics.frequency.data.fill_(scale)
    assert dynamics.drive is not None
    dynamics.drive.weight.data.copy_(torch.tensor([[1.0], [2.0]]))
    zero = torch.zeros(1, 2, dtype=dtype)
    end = dynamics.flow(zero, zero[:, :1], zero[:, :1] + 1, zero[:, :1] + 1)
    drive, rate = complex(1, 2), complex(-0.5 * scale, scale)
    gain = (cmath.exp(rate) - 1) / rate if scale > 1e-3 else 1 + rate / 2 + rate**2 / 6
    expected = torch.tensor([[(gain * drive).real, (gain * drive).imag]], dtype=dtype)
    torch.testing.assert_close(end, expected)
    (slope,) = torch.autograd.grad(end[0, 0], [dynamics.frequency])
    turned = (cmath.exp(rate) * (rate - 1) + 1) / rate**2 if scale > 1e-2 else 0.5 + rate / 3
    right = torch.tensor([(1j * turned * drive).real], dtype=dtype)
    torch.testing.assert_close(slope, right, rtol=1e-3, atol=0)


@pytest.mark.parametrize("springs", [False, True])
def test_hamiltonian_without_a_hidden_layer_is_refused(springs: bool) -> None:
    """With what to take instead."""
    with pytest.raises(ValueError, match=r"depth=0 must be at least 1.*second_order"):
        Hamiltonian(2, depth=0, springs=springs)
