"""What `solve` is told of steps, tolerances and parameters, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from odeseries.errors import SolverError
from odeseries.interfaces import SolveOptions

__all__ = ["floored", "learned", "options_for_users", "options_of"]

USERS_OPTIONS = ("step", "n_steps", "rtol", "atol", "max_steps", "gradient", "compile")
"""What the ``solver_params`` of an estimator may hold."""

DEFAULT_STEPS = 20


def options_for_users(given: Mapping[str, Any]) -> dict[str, Any]:
    """The ``solver_params`` of an estimator, to be passed on to `solve`.

    Raises
    ------
    ValueError
        If there is an option that is not for users, or that does not exist.
    """
    unknown = next((key for key in given if key not in USERS_OPTIONS), None)
    if unknown is not None:
        known = ", ".join(map(repr, USERS_OPTIONS))
        raise ValueError(f"solver_params has {unknown!r}, but a solver takes {known}.")
    return dict(given)


def options_of(
    step: float | None, n_steps: int | None, rtol: float, atol: float, max_steps: int
) -> SolveOptions:
    """Check the options; without step and n_steps there are ``DEFAULT_STEPS``."""
    given = {"step": step, "n_steps": n_steps, "rtol": rtol, "atol": atol, "max_steps": max_steps}
    for name, value in given.items():
        if value is not None and not _is_number(value):
            raise SolverError(f"{name}={value!r} is no number: give one, which all rows share.")
    if step is not None and n_steps is not None:
        raise SolverError("Both step and n_steps are given: give one of them.")
    if step is not None and not 0 < step < float("inf"):
        raise SolverError(f"step={step} must be positive; the direction follows the times.")
    if n_steps is not None and not (n_steps >= 1 and float(n_steps).is_integer()):
        raise SolverError(f"n_steps={n_steps} must be a whole number, and at least 1.")
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise SolverError(f"rtol={rtol} and atol={atol} must not be negative, nor both 0.")
    if not max_steps >= 1:
        raise SolverError(f"max_steps={max_steps} must be at least 1.")
    if step is None and n_steps is None:
        n_steps = DEFAULT_STEPS
    return SolveOptions(step, n_steps, rtol, atol, max_steps)


def _is_number(value: object) -> bool:
    """Whether a value is a real number, be it a tensor's only one."""
    alone = isinstance(value, Tensor) and value.ndim == 0
    return (alone or isinstance(value, Real)) and not isinstance(value, bool)


def learned(dynamics: object, named: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Tensors that are named, and the parameters of a module."""
    if isinstance(named, nn.Module | Tensor):
        raise SolverError(
            f"parameters is a {type(named).__name__}: give an iterable of tensors, such as "
            f"module.parameters() or [tensor]."
        )
    known = tuple(named)
    wrong = next((x for x in known if not isinstance(x, Tensor)), None)
    if wrong is not None:
        raise SolverError(
            f"parameters holds a {type(wrong).__name__}: give an iterable of tensors, such as "
            f"module.parameters()."
        )
    return (*known, *dynamics.parameters()) if isinstance(dynamics, nn.Module) else known


def floored(atol: float, dtype: torch.dtype) -> float:
    """The absolute tolerance, or the least by which errors are divided where a state is zero.

    They are squared then, which has to be finite.
    """
    return max(atol, math.sqrt(torch.finfo(dtype).tiny))
