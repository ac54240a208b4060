"""Laws of input paths and of dynamics closed over them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d
from torch import Tensor

from odeseries import solve
from odeseries.driving import Driven, InputPath, Waves
from odeseries.dynamics import MLP, Hamiltonian, Linear, SecondOrder
from odeseries.errors import DataError, PluginError, SolverError
from odeseries.interfaces import Dynamics

KINDS = ["linear", "previous"]
BATCH, KNOTS = 4, 7


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Networks are drawn from the global generator."""
    torch.manual_seed(0)


def knots(n_inputs: int = 2) -> tuple[Tensor, Tensor]:
    """Private knots between 0 and 2, and their values."""
    times = 2 * torch.rand(BATCH, KNOTS, dtype=torch.float64).sort(1).values
    return times, torch.randn(BATCH, KNOTS, n_inputs, dtype=torch.float64)


def exact(dynamics: Linear, y0: Tensor, start: float, end: float, path: InputPath) -> Tensor:
    """States of a linear dynamics under held inputs, one matrix exponential a piece."""
    zero, none = torch.zeros(4, dtype=torch.float64), torch.zeros(1)
    unit = torch.eye(4, dtype=torch.float64)
    matrix = dynamics(none, unit, torch.zeros(4, 2, dtype=torch.float64)).T
    out = []
    for row, state in enumerate(y0):
        low, high = min(start, end), max(start, end)
        inner = [float(k) for k in path.times[row] if low < k < high]
        stops = [start, *sorted(inner, reverse=end < start), end]
        for a, b in pairwise(stops):
            middle = torch.full((len(y0), 1), (a + b) / 2, dtype=torch.float64)
            push = dynamics(none, zero, path(middle)[row])
            whole = torch.zeros(5, 5, dtype=torch.float64)
            whole[:4, :4], whole[:4, 4] = matrix, push
            state = (torch.matrix_exp(whole * (b - a)) @ torch.cat([state, torch.ones(1)]))[:4]
        out.append(state)
    return torch.stack(out)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_scipy(kind: str) -> None:
    """Inside, at and beyond the knots, where values are held."""
    times, values = knots()
    path = InputPath(times, values, interpolation=kind)
    asked = torch.cat([4 * torch.rand(BATCH, 50, dtype=torch.float64) - 1, times], 1)
    found = path(asked[..., None])
    assert found.shape == (BATCH, 57, 2)
    for row in range(BATCH):
        ends = (values[row, 0].numpy(), values[row, -1].numpy())
        right = interp1d(
            times[row].numpy(),
            values[row].numpy(),
            kind,
            axis=0,
            bounds_error=False,
            fill_value=ends,
        )(asked[row].numpy())
        np.testing.assert_allclose(found[row].numpy(), right, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_follows_the_times(kind: str) -> None:
    """Any inner axes; the inputs come last."""
    path = InputPath(*knots(), interpolation=kind)
    t = torch.rand(BATCH, 1, dtype=torch.float64)
    one = path(t)
    assert one.shape == (BATCH, 2)
    assert torch.equal(path(t[:, None, None])[:, 0, 0], one)
    assert torch.equal(path(t[:, None].expand(BATCH, 3, 1))[:, 2], one)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_knots_do_not_exist(kind: str) -> None:
    """Wherever they lie and whatever is in them, NaN included; a row without knots has zeros."""
    times, values = knots()
    mask = torch.ones(BATCH, KNOTS, dtype=torch.bool)
    mask[0, [0, 1, 4, 6]], mask[1] = False, False
    broken = times.masked_fill(~mask, torch.nan)
    filled = values.masked_fill(~mask[..., None], torch.inf)
    path = InputPath(broken, filled, mask, interpolation=kind)
    asked = torch.linspace(-1, 3, 80, dtype=torch.float64).expand(BATCH, -1)[..., None]
    kept = mask[0]
    alone = InputPath(times[:1, kept], values[:1, kept], interpolation=kind)(asked[:1])
    assert torch.equal(path(asked)[:1], alone)
    assert torch.equal(path(asked)[1], torch.zeros(80, 2, dtype=torch.float64))
    assert torch.equal(path(asked)[2:], InputPath(times, values, interpolation=kind)(asked)[2:])


def test_two_knots_at_one_time_are_a_jump() -> None:
    """The later one counts from there on."""
    path = InputPath(
        torch.tensor([[0.0, 1.0, 1.0, 2.0]]), torch.tensor([[0.0, 1, 5, 6]])[..., None]
    )
    found = path(torch.tensor([[0.5, 1.0, 1.5]])[..., None])
    assert found.flatten().tolist() == [0.5, 5.0, 5.5]


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ([[0.0, 2.0, 1.0]], [[[0.0], [0.0], [0.0]]], "knots of row 0 are not sorted"),
        ([[0.0, 1.0, 2.0]], [[[0.0], [torch.nan], [0.0]]], "row 0 are not finite"),
        ([[0.0, 1.0, 2.0]], [[[0.0], [0.0]]], "give .batch, n_knots."),
    ],
)
def test_bad_knots_are_refused(times: list[object], values: list[object], message: str) -> None:
    """With the row and what to do."""
    with pytest.raises(DataError, match=message):
        InputPath(torch.tensor(times), torch.tensor(values))


def test_unknown_interpolation_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(DataError, match="use 'linear' or 'previous'"):
        InputPath(*knots(), interpolation="cubic")


def test_number_of_inputs_must_agree() -> None:
    """A dynamics made for another number would be driven by the wrong ones."""
    with pytest.raises(PluginError, match="n_inputs=0, but there are 2"):
        Driven(MLP(3), InputPath(*knots()))


def test_a_force_drives_an_oscillator() -> None:
    """A held force moves a damped spring to where both balance: x = F / k."""

    class Spring(Dynamics):
        takes_inputs = True

        def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            x, v = state.chunk(2, -1)
            return torch.cat([v, self.checked_inputs(inputs) - 2 * x - v], -1)

    forces = torch.tensor([[1.0, 1.0], [-3.0, -3.0]])[..., None]
    path = InputPath(torch.tensor([[0.0, 1.0], [0.0, 9.0]]), forces)
    times = torch.tensor([0.0, 40.0])
    found = solve(Driven(Spring(2, n_inputs=1), path), torch.zeros(2, 2), times, n_steps=400).ys
    assert found[:, 1, 0].tolist() == pytest.approx([0.5, -1.5], abs=1e-4)


@pytest.mark.parametrize("inner", [(), (3,)])
@pytest.mark.parametrize("kind", KINDS)
def test_driven_field_sees_the_path(kind: str, inner: tuple[int, ...]) -> None:
    """What is solved is the dynamics under the interpolated inputs; a shared time is one too."""
    dynamics = SecondOrder(2, n_inputs=2, hidden=8).double()
    path = InputPath(*knots(), interpolation=kind)
    driven = Driven(dynamics, path)
    state = torch.randn(BATCH, *inner, 4, dtype=torch.float64)
    t = torch.full((BATCH, *[1] * len(inner), 1), 0.8, dtype=torch.float64)
    right = dynamics(t, state, path(t))
    assert torch.equal(driven(t, state), right)
    assert torch.equal(driven(torch.tensor(0.8, dtype=torch.float64), state), right)
    assert driven.state_dim == 4
    assert torch.equal(driven.read(driven.lift(state[..., :2])), state[..., :2])


@pytest.mark.parametrize("times", [[0.0, 0.4, 1.3, 3.0], [1.5, 1.0, 1.0, -0.5]])
def test_linear_under_steps_is_exact(times: list[float]) -> None:
    """Forward and back, the closed form from knot to knot is that of one matrix after another."""
    dynamics = Linear(3, n_inputs=2).double()
    path = InputPath(*knots(), interpolation="previous")
    driven = Driven(dynamics, path)
    y0 = torch.randn(BATCH, 4, dtype=torch.float64)
    found = solve(driven, y0, torch.tensor(times, dtype=torch.float64))
    assert driven.closed_form
    assert found.stats.nfe.tolist() == [0] * BATCH
    for k, end in enumerate(times):
        right = exact(dynamics, y0, times[0], end, path)
        torch.testing.assert_close(found.ys[:, k], right, rtol=1e-9, atol=1e-9)


def test_linear_between_knots_is_exact_to_the_last_digit() -> None:
    """One step of input at a time known in advance, against the formula."""
    dynamics = Linear(2, n_inputs=1).double()
    times = torch.tensor([[0.0, 0.7]], dtype=torch.float64)
    values = torch.tensor([[[0.0], [2.0]]], dtype=torch.float64)
    driven = Driven(dynamics, InputPath(times, values, interpolation="previous"))
    y0 = torch.ones(1, 2, dtype=torch.float64)
    found = solve(driven, y0, torch.tensor([0.0, 0.5, 0.7, 2.0], dtype=torch.float64)).ys[0]
    damping, frequency = dynamics.damping.item(), dynamics.frequency.item()
    rate = complex(-damping, frequency)
    push = 2.0 * complex(*dynamics.drive.weight[:, 0].tolist())
    right = [np.exp(rate * t) * (1 + 1j) for t in (0.0, 0.5, 0.7, 2.0)]
    right[3] += (np.exp(rate * 1.3) - 1) / rate * push
    assert [complex(*y) for y in found.tolist()] == pytest.approx(right, abs=1e-12)


@pytest.mark.parametrize(
    "times", [[0.0, 0.2], [0.3, 0.3], [0.2, 0.3, 0.3], [0.5, 0.7], [0.0, -0.4], [1.0, 1.3]]
)
def test_derivatives_by_times_that_are_equal_to_others_or_to_knots(times: list[float]) -> None:
    """Those of the steps, which are the slopes of the states."""
    dynamics = Linear(2, n_inputs=1, fastest=4.0).double()
    knots, values = torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[[1.0], [3.0], [-2.0]]])
    driven = Driven(dynamics, InputPath(knots.double(), values.double(), interpolation="previous"))
    y0 = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    at = torch.tensor([times], dtype=torch.float64, requires_grad=True)
    ys = solve(driven, y0, at).ys
    stepped = solve(lambda t, y: driven(t, y), y0, at, solver="dopri5", rtol=1e-9, atol=1e-9).ys
    weights = torch.arange(1, ys.numel() + 1).view_as(ys)
    found, right = (torch.autograd.grad((y * weights).sum(), at)[0] for y in (ys, stepped))
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)


def test_linear_between_sloping_inputs_is_stepped() -> None:
    """There its closed form for constant inputs does not hold."""
    driven = Driven(Linear(2, n_inputs=2).double(), InputPath(*knots()))
    found = solve(driven, torch.ones(BATCH, 2, dtype=torch.float64), torch.tensor([0.0, 1.0]))
    assert bool((found.stats.nfe > 0).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("make", "solver", "tolerance"),
    [
        (Linear, "rk4", 1e-10),
        (SecondOrder, "rk4", 1e-10),
        (Hamiltonian, "rk4", 1e-10),
        (MLP, "dopri5", 1e-4),
    ],
)
def test_row_alone_equals_row_among_others(
    make: type[Dynamics], solver: str, tolerance: float, kind: str
) -> None:
    """Each follows its own inputs over its own times, however early others end."""
    dynamics = make(2, n_inputs=2).double()
    times, values = knots()
    y0 = torch.randn(BATCH, dynamics.state_dim, dtype=torch.float64)
    span = torch.tensor([[0.2], [3.0], [0.5], [2.0]], dtype=torch.float64)
    asked = span * torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    options = {"solver": solver, "rtol": 1e-6, "atol": 1e-6}

    def solved(rows: slice) -> Tensor:
        path = InputPath(times[rows], values[rows], interpolation=kind)
        return solve(Driven(dynamics, path), y0[rows], asked[rows], **options).ys

    with torch.no_grad():
        together, alone = solved(slice(None))[1], solved(slice(1, 2))[0]
    torch.testing.assert_close(together, alone, atol=tolerance, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_inputs_and_parameters(kind: str) -> None:
    """Against differences, through the solution."""
    dynamics = Linear(2, n_inputs=2).double()
    times, values = knots()
    y0 = torch.randn(BATCH, 2, dtype=torch.float64, requires_grad=True)

    def end(values: Tensor, y0: Tensor) -> Tensor:
        driven = Driven(dynamics, InputPath(times, values, interpolation=kind))
        return solve(driven, y0, torch.tensor([0.0, 1.7], dtype=torch.float64), n_steps=2).ys[:, 1]

    assert torch.autograd.gradcheck(end, (values.requires_grad_(), y0))
    end(values, y0).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in dynamics.parameters())


def test_knots_far_behind_do_not_spoil_a_solution_backwards() -> None:
    """A damped system grows back in time: legs beyond what is asked for have no length."""
    dynamics = Linear(2, n_inputs=1)
    times = torch.tensor([[-500.0, -400.0, 0.0]])
    driven = Driven(dynamics, InputPath(times, torch.ones(1, 3, 1), interpolation="previous"))
    y0 = torch.ones(1, 2, requires_grad=True)
    end = solve(driven, y0, torch.tensor([0.0, -0.5])).ys[:, 1].sum()
    end.backward()
    assert torch.isfinite(end)
    assert torch.isfinite(y0.grad).all()


@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("n_knots", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_paths_without_rows_or_knots(kind: str, n_knots: int, batch: int) -> None:
    """Without knots there are zeros and waves, without rows nothing; both can be solved."""
    times = torch.arange(float(n_knots)).expand(batch, -1)
    waves = Waves(torch.tensor([[0.0, 1.0]]).expand(batch, -1), torch.tensor([2.0]))
    asked = torch.tensor([[0.3], [0.7]]).expand(batch, -1, -1)
    for extra in (None, waves):
        path = InputPath(times, times[..., None] * 0, interpolation=kind, waves=extra)
        path = path.reversed().reversed()
        assert not path(asked)[..., 0].any()
        assert path(asked).shape == (batch, 2, path.n_inputs)
        for dynamics in (MLP(2, n_inputs=path.n_inputs), Linear(2, n_inputs=path.n_inputs)):
            driven, y0 = Driven(dynamics, path.levelled()), torch.ones(batch, 2)
            assert solve(driven, y0, torch.tensor([0.0, 1.0])).ys.shape == (batch, 2, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_waves_are_kept_on_other_clocks(kind: str) -> None:
    """Backwards they turn the other way; nothing levels them."""
    times, values = knots()
    waves = Waves(torch.randn(BATCH, 4, dtype=torch.float64), torch.tensor([2.0, 5.0]).double())
    path = InputPath(times, values, interpolation=kind, waves=waves)
    asked = torch.rand(BATCH, 9, 1, dtype=torch.float64)
    torch.testing.assert_close(path.reversed()(-asked), path(asked))
    assert path.levelled() is path
    assert not Driven(Linear(4, n_inputs=6).double(), path.levelled()).closed_form


@pytest.mark.parametrize(
    ("kind", "solver", "order"),
    [
        ("linear", "heun", 2),
        ("linear", "rk4", 4),
        ("previous", "midpoint", 2),
        ("previous", "heun", 1),
        ("previous", "rk4", 1),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_order_of_steps_that_end_at_the_knots(
    kind: str, solver: str, order: int, sign: int
) -> None:
    """Kinks leave every order, and jumps that of methods that do not ask at the ends of steps."""
    dynamics = MLP(2, n_inputs=1, hidden=8).double()
    times = torch.arange(5, dtype=torch.float64)[None] / 4
    path = InputPath(times, torch.randn(1, 5, 1, dtype=torch.float64), interpolation=kind)
    ends = torch.tensor([0.0, 1.0] if sign > 0 else [1.0, 0.0], dtype=torch.float64)
    y0, driven = torch.ones(1, 2, dtype=torch.float64), Driven(dynamics, path)

    @torch.no_grad()
    def end(solver: str, **options: float) -> Tensor:
        return solve(driven, y0, ends, solver=solver, **options).ys[:, -1]

    right = end("dopri5", rtol=1e-12, atol=1e-13)
    errors = [float((end(solver, step=step) - right).norm()) for step in (1 / 16, 1 / 32)]
    found = np.log2(errors[0] / errors[1])
    assert found > order - 0.35
    assert order > 1 or found < 1.35


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_by_the_times_of_jumps_are_refused_or_right(kind: str) -> None:
    """Steps don't see them; a closed form does, and straight lines have none."""
    times = torch.tensor([[0.0, 0.5, 0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    values = torch.tensor([[[1.0], [2.0], [-1.0], [0.0]]], dtype=torch.float64)
    path = InputPath(times, values, interpolation=kind)
    with pytest.raises(SolverError, match=r"no derivatives by the times at which inputs jump"):
        Driven(MLP(2, n_inputs=1).double(), path)
    lines = InputPath(times, torch.ones_like(values))
    assert not lines.jumps
    Driven(MLP(2, n_inputs=1).double(), lines)
    dynamics, y0 = Linear(2, n_inputs=1).double(), torch.ones(1, 2, dtype=torch.float64)
    ends = torch.tensor([0.0, 2.0], dtype=torch.float64)

    def end(times: Tensor) -> Tensor:
        return solve(
            Driven(dynamics, InputPath(times, values, interpolation="previous")), y0, ends
        ).ys

    assert torch.autograd.gradcheck(end, times + torch.tensor([[0.0, 0.0, 0.1, 0.0]]))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_are_inputs_like_others(kind: str) -> None:
    """Straight lines between them go through all numbers between."""
    times, values = torch.tensor([[0, 4, 6]]), torch.tensor([[[0], [2], [-1]]])
    at = torch.tensor([[1.0, 4.5, 5.0]])
    right = InputPath(times.float(), values.float(), interpolation=kind)(at[..., None])
    found = InputPath(times, values, interpolation=kind)(at[..., None])
    torch.testing.assert_close(found, right, rtol=0, atol=0)


@pytest.mark.parametrize("dynamics", [MLP(2, n_inputs=1), Linear(2, n_inputs=1)])
def test_inputs_of_other_rows_are_refused(dynamics: Dynamics) -> None:
    """Whether steps are taken or not."""
    path = InputPath(torch.zeros(2, 1), torch.ones(2, 1, 1), interpolation="previous")
    with pytest.raises(DataError, match="those of 2 rows, and are asked for by 3"):
        solve(Driven(dynamics, path), torch.ones(3, 2), torch.tensor([0.0, 1.0]))
