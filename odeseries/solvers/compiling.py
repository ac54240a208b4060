"""Steps of explicit methods, compiled to one function for each kind of field."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import FunctionType

import torch
from torch import Tensor

from odeseries.errors import CompileError
from odeseries.interfaces import VectorField
from odeseries.solvers.stepping import Step, advance
from odeseries.solvers.tableaux import Tableau

__all__ = ["CompiledSteps"]

BACKEND = "inductor"
Parts = tuple[Tensor, Tensor | None, list[Tensor]]


class CompiledSteps:
    """The scheme of an explicit Runge-Kutta method, its step compiled when it is first taken.

    What is compiled is kept by torch for later solves, and serves all fields of the same code and
    shapes and all numbers of rows above one.

    Parameters
    ----------
    tableau : Tableau
        Method.
    """

    def __init__(self, tableau: Tableau) -> None:
        self.tableau = tableau

    def __call__(
        self,
        field: VectorField,
        t: Tensor,
        h: Tensor,
        y: Tensor,
        slope: Tensor,
        *,
        closing: bool,
    ) -> Step:
        """Take one step."""
        if slope.requires_grad and not y.requires_grad:
            # So that the first step is no case of its own, to be compiled beside the later ones.
            y = y.detach().requires_grad_()
        try:
            # What torch warns of while it compiles is said of its own code.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return Step(*_compiled(self.tableau, closing)(field, t, h, y, slope))
        except Exception as error:
            if not _is_from_compiling(error):
                raise
            raise CompileError(_explained(error)) from error


@cache
def _compiled(tableau: Tableau, closing: bool) -> Callable[..., Parts]:
    """The step as a function of the field and of tensors."""

    def step(field: VectorField, t: Tensor, h: Tensor, y: Tensor, slope: Tensor) -> Parts:
        taken = advance(tableau, field, t, h, y, slope, closing=closing)
        return taken.y, taken.slope, taken.moves

    # Torch keeps what it has compiled, up to a limit, by the code: every method has its own.
    alone = FunctionType(
        step.__code__.replace(), step.__globals__, f"step_{tableau.order}", None, step.__closure__
    )
    return torch.compile(alone, dynamic=True, fullgraph=True, backend=BACKEND)


def _is_from_compiling(error: Exception) -> bool:
    """Whether torch's compiler, and not what it compiled, has failed."""
    return isinstance(error, (import_module("torch._dynamo.exc").TorchDynamoException, *_limits()))


def _limits() -> tuple[type[Exception], ...]:
    """What torch raises where it has compiled too often; older releases go on uncompiled."""
    hit = getattr(import_module("torch._dynamo.exc"), "FailOnRecompileLimitHit", None)
    return () if hit is None else (hit,)


def _explained(error: Exception) -> str:
    """Say why the step could not be compiled, and what to do."""
    dynamo, inductor = import_module("torch._dynamo.exc"), import_module("torch._inductor.exc")
    cause = error.inner_exception if isinstance(error, dynamo.BackendCompilerFailed) else error
    if isinstance(cause, inductor.InvalidCxxCompiler):
        return (
            "compile=True needs a C++ compiler, and torch found none: install one (g++, on macOS "
            "the command line tools of Xcode, on Windows Visual Studio's), name it in the "
            "environment variable CXX, or take compile=False."
        )
    if isinstance(cause, inductor.CppCompileError):
        return (
            f"The C++ compiler that compile=True calls failed: see that it is complete and that "
            f"Python's header files are installed (python3-dev), or take compile=False. "
            f"{_first_line(cause)}"
        )
    if isinstance(cause, _limits()):
        return (
            "Steps of this method were compiled for so many different fields that torch's limit "
            "is reached. Take compile=False for a field that differs from solve to solve; "
            "otherwise call torch.compiler.reset() between models, or raise "
            "torch._dynamo.config.recompile_limit."
        )
    return (
        f"The step can't be compiled with this field ({_first_line(cause)}). Take compile=False, "
        f"or write the field in tensor operations alone: it may not differentiate, look at the "
        f"values of tensors, print, or keep records."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
