"""Rows that are held out, and how likely a flow finds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odeseries.cnf.flow import Flow
from odeseries.cnf.rows import Rows

__all__ = ["NOISES", "HeldOut", "clearly_better", "split"]

NOISES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45)
MOST_ROWS, FEW_ROWS = 250, 64
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
        self.rows = replace(rows, weights=rows.weights / rows.weights.mean())
        self.noises, self.options = noises, options
        self.probes = probes.to(rows.x.dtype)

    def loss(self, flow: Flow) -> float:
        """Negative mean log-density, with the noise that is best for a part of the rows."""
        noise = self._best(flow, self.rows.take(slice(0, FEW_ROWS)))
        return -float(self.each(flow, noise).mean())

    def best(self, flow: Flow) -> float:
        """The noise that is best for all rows."""
        return self._best(flow, self.rows)

    def each(self, flow: Flow, noise: float) -> Tensor:
        """Log-density of every row times its weight, ``[n]``; the weights' mean is 1."""
        return self._each(flow, self.rows, (noise,))[0]

    def _best(self, flow: Flow, rows: Rows) -> float:
        if len(self.noises) == 1:
            return self.noises[0]
        return self.noises[int(self._each(flow, rows, self.noises).mean(1).argmax())]

    @torch.no_grad()
    def _each(self, flow: Flow, rows: Rows, noises: tuple[float, ...]) -> Tensor:
        """Weighted log-density of rows for every noise, ``[n_noises, n]``."""
        count = len(noises)
        noise = torch.tensor(noises, device=rows.x.device).repeat_interleave(len(rows))
        each = flow.with_options(self.options).log_density(
            rows.x.repeat(count, 1), rows.condition.repeat(count, 1), self.probes, noise
        )
        return each.view(count, -1) * rows.weights


def clearly_better(one: Tensor, other: Tensor) -> bool:
    """Whether the mean of some values exceeds that of others, paired, by its standard error."""
    lead = one - other
    if len(lead) < FEWEST_PAIRS:
        return False
    return bool(lead.mean() > lead.std() / math.sqrt(len(lead)))
