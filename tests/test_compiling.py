"""Compiled steps: the same numbers, for any number of rows, and clear refusals.

What depends on the compiler itself is marked slow; the others let torch trace the steps and run
what was traced as it is.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._inductor.exc import InvalidCxxCompiler

from odeseries import CompileError, OdeSeriesError, solve
from odeseries.dynamics import MLP
from odeseries.nets import seeded_weights
from odeseries.solvers import compiling


class Traced:
    """A backend that runs what was traced, and counts it."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        """Count a graph."""
        self.count += 1
        return graph.forward


@pytest.fixture
def afresh() -> Iterator[None]:
    """Nothing compiled before, and nothing left behind."""
    compiling._compiled.cache_clear()
    torch.compiler.reset()
    yield
    compiling._compiled.cache_clear()
    torch.compiler.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, afresh: None) -> Traced:
    """Steps that are traced, but not compiled."""
    backend = Traced()
    monkeypatch.setattr(compiling, "BACKEND", backend)
    return backend


def perceptron() -> MLP:
    """A small field in double precision."""
    with seeded_weights(0):
        return MLP(3, hidden=8).double()


def starts(n_rows: int) -> Tensor:
    """Initial states."""
    generator = torch.Generator().manual_seed(n_rows)
    return torch.randn(n_rows, 3, generator=generator, dtype=torch.float64)


def private_times(n_rows: int) -> Tensor:
    """Times of every row, which end after one another."""
    ends = torch.linspace(0.5, 4, n_rows, dtype=torch.float64)
    return ends[:, None] * torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)


def answers(field: MLP, y0: Tensor, **options: Any) -> list[Tensor]:
    """States, their gradients by initial states and weights, and the work."""
    y0 = y0.clone().requires_grad_()
    options = {"rtol": 1e-6, "atol": 1e-6, **options}
    solution = solve(field, y0, private_times(len(y0)), **options)
    found = torch.autograd.grad(solution.ys.square().sum(), [y0, *field.parameters()])
    return [solution.ys.detach(), *found, solution.stats.nfe]


def assert_equal(found: list[Tensor], right: list[Tensor]) -> None:
    """The same up to rounding."""
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("solver", ["tsit5", "euler"])
def test_states_gradients_and_work_are_those_of_other_steps(traced: Traced, solver: str) -> None:
    """To rounding, along the steps' own graph."""
    field, y0 = perceptron(), starts(5)
    right = answers(field, y0, solver=solver)
    assert_equal(answers(field, y0, solver=solver, compile=True), right)
    assert traced.count > 0


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_other_ways_to_the_gradients_too(traced: Traced, gradient: str) -> None:
    """Forward compiled; back as each way goes."""
    field, y0 = perceptron(), starts(5)
    options = {"solver": "heun", "step": 0.5, "gradient": gradient}
    right = answers(field, y0, **options)
    assert_equal(answers(field, y0, **options, compile=True), right)
    assert traced.count > 0


def test_one_function_serves_every_number_of_rows_and_every_field_of_a_kind(
    traced: Traced,
) -> None:
    """Nothing is compiled again for other sizes or weights."""
    for n_rows in (64, 9, 17, 2):
        solve(perceptron(), starts(n_rows), private_times(n_rows), solver="midpoint", compile=True)
    # The first step, whose states need no gradient, is none of its own.
    assert traced.count == 1


def test_rows_are_put_aside_without_compiling_again(traced: Traced) -> None:
    """Fewer and fewer rows are no new case."""
    with torch.no_grad():
        options = {"solver": "dopri5", "rtol": 1e-8, "atol": 1e-8}
        y0, times = starts(64), private_times(64)
        times[0] *= 40
        right = solve(perceptron(), y0, times, **options)
        found = solve(perceptron(), y0, times, **options, compile=True)
    torch.testing.assert_close(found.ys, right.ys, rtol=1e-9, atol=1e-11)
    assert traced.count == 1


def test_gradients_can_be_differentiated_where_steps_are_taken_again(traced: Traced) -> None:
    """The graph that is differentiated twice is not that of compiled steps."""
    field, y0 = perceptron(), starts(3).requires_grad_()
    times, found = private_times(3), []
    for compiled in (False, True):
        options = {"solver": "euler", "gradient": "checkpoint", "compile": compiled}
        ys = solve(field, y0, times, **options).ys
        (first,) = torch.autograd.grad(ys.square().sum(), y0, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), y0)[0])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-11)


def test_fields_are_let_go(traced: Traced) -> None:
    """What was compiled does not hold the field."""
    field = perceptron()
    solve(field, starts(3), private_times(3), solver="euler", compile=True)
    watch = weakref.ref(field)
    del field
    gc.collect()
    assert watch() is None


def by_value(t: Tensor, y: Tensor) -> Tensor:
    """A field that looks at a value."""
    return -y if float(y.sum()) > 0 else y


def differentiating(t: Tensor, y: Tensor) -> Tensor:
    """A field that is a gradient."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        return torch.autograd.grad(-y.square().sum(), y)[0]


@pytest.mark.parametrize("field", [by_value, differentiating])
def test_a_field_that_cannot_be_compiled_is_told_what_to_do(traced: Traced, field: Any) -> None:
    """An error says why, and which way out there is."""
    y0 = torch.ones(2, 2)
    with pytest.raises(CompileError, match=r"can't be compiled with this field.*compile=False"):
        solve(field, y0, torch.tensor([0.0, 1.0]), solver="euler", compile=True)


def test_errors_of_a_field_are_its_own(traced: Traced) -> None:
    """They are not taken for failures of the compiler."""

    def broken(t: Tensor, y: Tensor) -> Tensor:
        raise ZeroDivisionError("of the field")

    with pytest.raises(ZeroDivisionError, match="of the field"):
        solve(broken, starts(2), private_times(2), compile=True)


@pytest.mark.parametrize("solver", ["leapfrog", "torchdiffeq:dopri5", "adams"])
def test_methods_without_steps_of_their_own_refuse(solver: str) -> None:
    """They don't ignore what is asked for."""
    with pytest.raises(ValueError, match="no step that can be compiled: take compile=False"):
        solve(
            lambda t, y: -y, torch.ones(1, 2), torch.tensor([0.0, 1.0]), solver=solver, compile=True
        )


def test_without_a_compiler_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, afresh: None
) -> None:
    """The machine is to blame, not the field."""

    def without(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        raise InvalidCxxCompiler

    monkeypatch.setattr(compiling, "BACKEND", without)
    with pytest.raises(CompileError, match=r"needs a C\+\+ compiler.*install one \(g\+\+"):
        solve(perceptron(), starts(2), private_times(2), solver="euler", compile=True)


def test_ever_new_kinds_of_fields_end_in_an_error_and_not_in_slowness(traced: Traced) -> None:
    """Torch would fall back to steps as they are."""

    def solve_with(*functions: Callable[[Tensor], Tensor]) -> None:
        y0, times = torch.ones(2, 1), torch.tensor([0.0, 1.0])
        for function in functions:
            solve(lambda t, y, f=function: f(y), y0, times, solver="euler", compile=True)

    with torch._dynamo.config.patch(recompile_limit=2):
        solve_with(torch.sin)
        with pytest.raises(OdeSeriesError, match=r"torch\.compiler\.reset"):
            solve_with(torch.cos, torch.tanh, torch.neg)


INDUCTOR = """
import random, sys, torch
from tests.test_compiling import answers, assert_equal, perceptron, starts
state, numbers = random.getstate(), torch.get_rng_state()
field, y0 = perceptron(), starts(5)
for gradient in ("autograd", "checkpoint", "adjoint"):
    options = {"solver": "dopri5", "gradient": gradient}
    assert_equal(answers(field, y0, **options, compile=True), answers(field, y0, **options))
assert random.getstate() == state
assert torch.equal(torch.get_rng_state(), numbers)
"""
NO_COMPILER = """
import torch
from odeseries import CompileError, solve
try:
    solve(lambda t, y: -y, torch.ones(2, 2), torch.tensor([0.0, 1.0]), compile=True)
except CompileError as error:
    assert "needs a C++ compiler" in str(error), error
else:
    raise AssertionError("compiled without a compiler")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "compiler"), [(INDUCTOR, None), (NO_COMPILER, "no-such-compiler")]
)
def test_the_compiler_itself(tmp_path: Path, program: str, compiler: str | None) -> None:
    """The numbers of compiled code, without warnings, prints or changed random states."""
    settings = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": "."}
    if compiler is not None:
        settings["CXX"] = compiler
    ran = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-W", "error", "-c", program],
        env=settings,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
