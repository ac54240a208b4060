"""The choice of a way to the gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from odeseries.interfaces import Solution, SolveOptions, VectorField
from odeseries.solvers.adjoint import adjoint
from odeseries.solvers.checkpointing import checkpointed
from odeseries.solvers.dependencies import dependencies
from odeseries.solvers.gradients import Engine, Job
from odeseries.solvers.stepping import Clock

__all__ = ["differentiable"]

WAYS = {"checkpoint": checkpointed, "adjoint": adjoint}


def differentiable(
    engine: Engine, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
) -> Solution:
    """Integrate once, with gradients as the options say; failed rows may be infinite or NaN."""
    if options.gradient in WAYS and torch.is_grad_enabled():
        t = Clock.of(times).at(torch.zeros_like(times[:, 0]), y0)
        field, learned = dependencies(field, t, y0, options.parameters)
        if learned or y0.requires_grad:
            return WAYS[options.gradient](Job(engine, field, options), y0, times, learned)
    return engine.march_all(field, y0, Clock.of(times), options)
