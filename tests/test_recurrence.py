"""The reading of rows as one node: the same numbers and gradients as step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from odeseries import encoders
from odeseries.cells import SpreadCell
from odeseries.dynamics import MLP, Linear
from odeseries.encoders import ODERNNEncoder
from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics

METHODS = [
    ("euler", {"n_steps": 1}),
    ("midpoint", {"step": 0.1}),
    ("heun", {"n_steps": 2}),
    ("rk4", {"step": 0.3}),
    ("rk4", {}),
]
N_FEATURES, BATCH, ROWS, DIM = 3, 3, 5, 2


def reader(
    method: tuple[str, dict[str, Any]] = METHODS[0],
    cell: str = "gru",
    dynamics: type[Dynamics] = MLP,
) -> ODERNNEncoder:
    """In float64, with seeded weights."""
    torch.manual_seed(0)
    spread = SpreadCell(N_FEATURES, DIM, 4) if cell == "spread" else None
    field = MLP(DIM, hidden=4, depth=2) if dynamics is MLP else dynamics(DIM)
    return ODERNNEncoder(N_FEATURES, field, *method, spread).double()


def seen(*, padded: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Rows with a gradient, gaps of which some are 0, and lengths."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(BATCH, ROWS, N_FEATURES, dtype=torch.float64, generator=generator)
    gaps = torch.rand(BATCH, ROWS, dtype=torch.float64, generator=generator)
    gaps[:, 0], gaps[1, 2] = 0.0, 0.0
    length = torch.tensor([3, ROWS, 1]) if padded else torch.full((BATCH,), ROWS)
    return rows.requires_grad_(), gaps, length


def step_by_step(encoder: ODERNNEncoder, rows: Tensor, gaps: Tensor, length: Tensor) -> Tensor:
    """The same, whose every operation autograd sees."""

    class Hidden(MLP):
        """Not known to be a plain perceptron."""

    field = Hidden(DIM, hidden=4, depth=2).double()
    field.field = encoder.dynamics.field
    other = ODERNNEncoder(N_FEATURES, field, encoder.solver, encoder.solver_params)
    other.cell, other.hidden = encoder.cell, encoder.hidden
    out: Tensor = other(rows, gaps, length)
    return out


def name_of_node(out: Tensor) -> str:
    """What autograd calls what made it."""
    assert out.grad_fn is not None
    return out.grad_fn.name()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cell", ["gru", "spread"])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_one_node_is_what_steps_and_jumps_are(
    method: tuple[str, dict[str, Any]], cell: str, padded: bool
) -> None:
    """States, and the gradients of rows and all parameters; forward in time and back."""
    encoder = reader(method, cell)
    rows, gaps, length = seen(padded=padded)
    learned = [rows, *encoder.parameters()]
    for sign in (1, -1):
        found = encoder(rows, sign * gaps, length)
        expected = step_by_step(encoder, rows, sign * gaps, length)
        assert name_of_node(found) == "_ReadBackward"
        assert name_of_node(expected) != "_ReadBackward"
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        gradients = (torch.autograd.grad(y.sin().sum(), learned) for y in (found, expected))
        torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("cell", ["gru", "spread"])
@pytest.mark.parametrize("learning", [False, True])
def test_reading_one_row_of_one_series_leaves_the_weights_as_they_are(
    cell: str, learning: bool
) -> None:
    """What is written to on the way is never a parameter, however few the rows."""
    encoder = reader(cell=cell)
    before = [p.detach().clone() for p in encoder.parameters()]
    rows, gaps, _ = seen()
    rows, gaps, length = rows[:1, 1:2], gaps[:1, 1:2], torch.ones(1, dtype=torch.long)
    with torch.set_grad_enabled(learning):
        found = encoder(rows, gaps, length)
    torch.testing.assert_close(list(encoder.parameters()), before, rtol=0, atol=0)
    expected = step_by_step(encoder, rows, gaps, length)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    if learning:
        both = (torch.autograd.grad(y.sin().sum(), encoder.parameters()) for y in (found, expected))
        torch.testing.assert_close(*both, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("cell", ["gru", "spread"])
def test_gradients_once_and_again(cell: str) -> None:
    """By finite differences."""
    encoder = reader(("midpoint", {"step": 0.7}), cell)
    rows, gaps, _ = seen()
    rows, gaps, length = rows[:2, :3], gaps[:2, :3], torch.tensor([3, 2])

    def read(rows: Tensor, *parameters: Tensor) -> Tensor:
        del parameters
        out: Tensor = encoder(rows, gaps, length)
        return out

    learned = [p for p in encoder.parameters() if p.numel() < 10]
    assert torch.autograd.gradcheck(read, (rows, *learned), fast_mode=True)
    assert torch.autograd.gradgradcheck(read, (rows, *learned), fast_mode=True)


def test_a_backward_pass_can_be_repeated() -> None:
    """And without the gradient of the rows, or of frozen parameters."""
    encoder = reader(cell="spread")
    rows, gaps, length = seen()
    out = encoder(rows, gaps, length).sum()
    first, again = (torch.autograd.grad(out, rows, retain_graph=True) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    weight = encoder.cell.gates.layers[0].weight
    (expected,) = torch.autograd.grad(out, weight)
    encoder.dynamics.requires_grad_(requires_grad=False)
    (found,) = torch.autograd.grad(encoder(rows.detach(), gaps, length).sum(), weight)
    torch.testing.assert_close(found, expected)


def test_weights_must_not_change_before_the_backward_pass() -> None:
    """As where autograd keeps them."""
    encoder = reader()
    out = encoder(*seen()).sum()
    with torch.no_grad():
        encoder.cell.weight_hh.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_other_dynamics_solvers_and_gaps_with_gradients_are_read_step_by_step() -> None:
    """Among them adaptive steps, whose gradients come through the solver."""
    rows, gaps, length = seen()
    for encoder, gap in (
        (reader(dynamics=Linear), gaps),
        (reader(("dopri5", {"rtol": 1e-6, "atol": 1e-8})), gaps),
        (reader(("rk4", {"gradient": "checkpoint"})), gaps),
        (reader(), gaps.clone().requires_grad_()),
    ):
        assert name_of_node(encoder(rows, gap, length)) != "_ReadBackward"


def test_without_gradients_parts_of_a_batch_are_read_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each with its own gaps and lengths; an empty batch has no states."""
    monkeypatch.setattr(encoders, "PART", 2)
    rows, gaps, length = seen()
    encoder = reader(("midpoint", {"step": 0.1}))
    with torch.no_grad():
        found = encoder(rows, gaps, length)
        assert encoder(rows[:0], gaps[:0], length[:0]).shape == (0, DIM)
    torch.testing.assert_close(found, encoder(rows, gaps, length))


def test_what_goes_wrong_is_said_as_by_the_solver() -> None:
    """Rows that go to infinity, and too many steps."""
    rows, gaps, length = seen()
    encoder = reader()
    with torch.no_grad():
        encoder.dynamics.field.layers[-1].bias.fill_(torch.inf)
    with pytest.raises(SolverError, match="became infinite or NaN"):
        encoder(rows, gaps, length)
    with pytest.raises(SolverError, match="more than max_steps"):
        reader(("rk4", {"step": 1e-9}))(rows, gaps, length)


def test_mean_and_spread_lie_between_the_candidate_and_what_was() -> None:
    """With gates that are open the state is the candidate's, with closed ones what it was."""
    torch.manual_seed(0)
    cell = SpreadCell(N_FEATURES, DIM, 4)
    row, state = torch.randn(6, N_FEATURES), torch.randn(6, 2 * DIM)
    state[:, DIM:].abs_()
    last = cell.gates.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(50.0)
        torch.testing.assert_close(cell(row, state), state)
        last.bias.fill_(-50.0)
        new = cell.candidate(torch.cat([torch.zeros_like(state), row], 1))
        after = cell(row, state)
    torch.testing.assert_close(after[:, :DIM], new[:, :DIM])
    torch.testing.assert_close(after[:, DIM:], new[:, DIM:].abs())


def hooked(module: nn.Module) -> None:
    """Let a hook change what comes out."""
    module.register_forward_hook(lambda module, args, out: 0.5 * out)


def pruned(module: nn.Module, name: str) -> None:
    """Let a hook make a weight out of another parameter and a mask."""
    prune.random_unstructured(module, name, 0.5)


def added(module: nn.Module) -> None:
    """A parameter that a forecaster of one's own may add."""
    module.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))


CHANGES: list[tuple[str, Callable[[Any], None]]] = [
    ("gru", lambda e: pruned(e.dynamics.field.layers[0], "weight")),
    ("gru", lambda e: pruned(e.cell, "weight_hh")),
    ("spread", lambda e: pruned(e.cell.gates.layers[0], "weight")),
    ("gru", lambda e: hooked(e.dynamics)),
    ("gru", lambda e: hooked(e.cell)),
    ("spread", lambda e: hooked(e.cell.candidate)),
    ("gru", lambda e: added(e.dynamics)),
    ("gru", lambda e: setattr(e, "cell", nn.GRUCell(N_FEATURES, DIM, bias=False).double())),
]


@pytest.mark.parametrize(("cell", "change"), CHANGES)
def test_what_was_made_something_else_is_not_written_out(
    cell: str, change: Callable[[Any], None]
) -> None:
    """The numbers and the gradients are those of the modules as they are."""
    encoder, (rows, gaps, length) = reader(cell=cell), seen()
    change(encoder)
    found = encoder(rows, gaps, length)
    expected = encoder._plainly(rows.transpose(0, 1), gaps, length, None)
    torch.testing.assert_close(found, expected)
    wanted = [rows, *(p for p in encoder.parameters() if p.requires_grad)]
    grads = (
        torch.autograd.grad(out.square().sum(), wanted, allow_unused=True, materialize_grads=True)
        for out in (found, expected)
    )
    torch.testing.assert_close(*grads)
