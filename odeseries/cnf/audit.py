"""The check of a density against a finer solution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from odeseries.cnf.flow import Flow

__all__ = ["LARGEST_ERROR", "audited"]

LARGEST_ERROR, LARGEST_LOSS = 1e-3, 2e-5
MOST_TRIALS = 8
RTOL, ATOL = 1e-3, 1e-4
"""Tolerances where none are given, those of `odeseries.solve`."""


@torch.no_grad()
def audited(
    flow: Flow, x: Tensor, condition: Tensor, probes: Tensor
) -> tuple[dict[str, Any], float]:
    """Options of the solver with which the log-density is right, and its error with them.

    Steps are halved, or tolerances divided by ten, until the log-density changes by less than
    0.001 in the mean over the rows when they are once more, and every row comes back from the
    base distribution to within 0.00002 standard deviations.

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
    for _ in range(MOST_TRIALS):
        finer = flow.with_options(_finer(options))
        fine = finer.log_density(x, condition, probes)
        error = float((fine - coarse).abs().mean())
        if error < LARGEST_ERROR and _lost(flow, x, condition, probes) < LARGEST_LOSS:
            break
        flow, options, coarse = finer, finer.options, fine
    return options, error


def _lost(flow: Flow, x: Tensor, condition: Tensor, probes: Tensor) -> float:
    """How far any coordinate comes back from the base distribution beside where it was."""
    again = flow.from_base(flow.to_base(x, condition, probes)[0], condition)
    return float((again - x).abs().max())


def _finer(options: Mapping[str, Any]) -> dict[str, Any]:
    """Twice the steps, or a tenth of the tolerances."""
    if "n_steps" in options:
        return {**options, "n_steps": 2 * options["n_steps"]}
    if "step" in options:
        return {**options, "step": options["step"] / 2}
    rtol, atol = options.get("rtol", RTOL), options.get("atol", ATOL)
    return {**options, "rtol": rtol / 10, "atol": atol / 10}
