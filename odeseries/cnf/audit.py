"""The check of a density against a finer solution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from odeseries.cnf.flow import Flow

__all__ = ["LARGEST_ERROR", "audited"]

LARGEST_ERROR = 1e-3
MOST_TRIALS = 8
RTOL, ATOL = 1e-3, 1e-4
"""Tolerances where none are given, those of `odeseries.solve`."""


@torch.no_grad()
def audited(
    flow: Flow, x: Tensor, condition: Tensor, probes: Tensor
) -> tuple[dict[str, Any], float]:
    """Options of the solver with which the log-density is right, and its error with them.

    Steps are halved, or tolerances divided by ten, until the log-density changes by less than
    0.001 in the mean over the rows when they are once more.

    Parameters
    ----------
    flow : Flow
        Its options are where it begins.
    x, condition, probes
        As for `Flow.log_density`.

    Returns
    -------
    options : dict
    error : float
        Mean absolute difference from the next finer solution, in nats; larger than 0.001 if
        eight trials did not suffice.
    """
    options = flow.options
    coarse = flow.log_density(x, condition, probes)
    for trial in range(MOST_TRIALS):
        finer = _finer(options)
        fine = flow.with_options(finer).log_density(x, condition, probes)
        error = float((fine - coarse).abs().mean())
        if error < LARGEST_ERROR or trial == MOST_TRIALS - 1:
            break
        options, coarse = finer, fine
    return options, error


def _finer(options: Mapping[str, Any]) -> dict[str, Any]:
    """Twice the steps, or a tenth of the tolerances."""
    if "n_steps" in options:
        return {**options, "n_steps": 2 * options["n_steps"]}
    if "step" in options:
        return {**options, "step": options["step"] / 2}
    rtol, atol = options.get("rtol", RTOL), options.get("atol", ATOL)
    return {**options, "rtol": rtol / 10, "atol": atol / 10}
