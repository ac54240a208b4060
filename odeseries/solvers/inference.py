"""Equations in which there are derivatives, solved in torch's inference mode.

Nothing can be differentiated in that mode, whatever is switched on inside: a derivative that an
equation needs would be zero without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from odeseries.errors import SolverError

__all__ = ["differentiable_again", "outside_inference"]


@contextmanager
def outside_inference() -> Iterator[None]:
    """Leave inference mode, without gradients, which can be enabled inside.

    Raises
    ------
    SolverError
        If a tensor made in inference mode is needed for a derivative.
    """
    if not torch.is_inference_mode_enabled():
        yield
        return
    try:
        with torch.inference_mode(mode=False), torch.no_grad():
            yield
    except RuntimeError as error:
        if "Inference tensors cannot be saved" not in str(error):
            raise
        raise SolverError(
            "The equation needs derivatives of its field, which depends on tensors that were made "
            "in torch.inference_mode(): take torch.no_grad() instead."
        ) from error


def differentiable_again(x: Tensor) -> Tensor:
    """The tensor; outside inference mode a copy of one that was made in it."""
    return x.clone() if x.is_inference() else x
