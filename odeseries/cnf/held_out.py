"""Rows that are held out, and how likely a flow finds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odeseries.cnf.flow import Flow
from odeseries.cnf.rows import Rows

__all__ = ["NOISES", "HeldOut", "clearly_better", "split"]

NOISES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45)
MOST_ROWS = 250
FEWEST_PAIRS = 2


def split(rows: Rows, share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows that are trained on, and those held out, at least one of each."""
    order = torch.from_numpy(rng.permutation(len(rows))).to(rows.x.device)
    n_held = min(max(1, round(share * len(rows))), len(rows) - 1)
    return rows.take(order[n_held:]), rows.take(order[:n_held])


class HeldOut:
    """Judge of a flow.

    Parameters
    ----------
    rows : Rows
        Held out; at most 250 of them are looked at.
    probes : Tensor of shape (n_probes, 1, dim)
        Random signs for an estimated divergence.
    noises : tuple of float
        Standard deviations of noise among which the best is taken.
    options : mapping
        Steps or tolerances of the judgement.
    """

    def __init__(
        self, rows: Rows, probes: Tensor, noises: tuple[float, ...], options: Mapping[str, Any]
    ) -> None:
        rows = rows.take(slice(0, MOST_ROWS))
        n = len(rows)
        self.noises, self.options = noises, options
        self.x = rows.x.repeat(len(noises), 1)
        self.condition = rows.condition.repeat(len(noises), 1)
        self.weights = rows.weights / rows.weights.mean()
        self.noise = torch.tensor(noises, device=rows.x.device).repeat_interleave(n)
        self.probes = probes.to(rows.x.dtype)

    def best(self, flow: Flow) -> tuple[float, float]:
        """Lowest negative mean log-density over the noises, and the noise that gives it."""
        means = self.each(flow).mean(1)
        first = int(means.argmax())
        return -float(means[first]), self.noises[first]

    @torch.no_grad()
    def each(self, flow: Flow) -> Tensor:
        """Log-density of every row times its weight, ``[n_noises, n]``; the weights' mean is 1."""
        flow = flow.with_options(self.options)
        each = flow.log_density(self.x, self.condition, self.probes, self.noise)
        return each.view(len(self.noises), -1) * self.weights


def clearly_better(one: Tensor, other: Tensor) -> bool:
    """Whether the mean of some values exceeds that of others, paired, by its standard error."""
    lead = one - other
    if len(lead) < FEWEST_PAIRS:
        return False
    return bool(lead.mean() > lead.std() / math.sqrt(len(lead)))
