"""Encoders: from the rows of a side, in reading order, to one vector at the anchor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from odeseries.cells import SpreadCell
from odeseries.driving import Driven, InputPath
from odeseries.interfaces import Dynamics
from odeseries.recurrence import read, reader_of
from odeseries.solvers.solve import solve

__all__ = ["Encoder", "GRUEncoder", "ODERNNEncoder"]

PART = 256
"""Rows of a batch that are encoded at once where no gradients are wanted."""
LONGEST_GAP = 10.0
"""Horizons of a longer gap over which a dynamics is followed, the last ones before the row."""


class Encoder(nn.Module, ABC):
    """Reads rows one after another; padding at the end changes nothing.

    Parameters
    ----------
    n_features : int
        Features of a row.
    hidden : int
        Dimension of the result.
    """

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.n_features, self.hidden = n_features, hidden

    @abstractmethod
    def forward(
        self, rows: Tensor, gaps: Tensor, length: Tensor, path: InputPath | None = None
    ) -> Tensor:
        """Encode.

        Parameters
        ----------
        rows : Tensor of shape (batch, n_rows, n_features)
            Rows in reading order.
        gaps : Tensor of shape (batch, n_rows)
            Time from the row read before.
        length : Tensor of int64, shape (batch,)
            Number of rows that are not padding, at least 1.
        path : InputPath, optional
            What drives a dynamics between the rows, on a clock that is 0 at the last row.

        Returns
        -------
        Tensor of shape (batch, hidden)
            The state after the last row.
        """


class GRUEncoder(Encoder):
    """Gated recurrent unit that is told the gaps between the rows as a feature.

    References
    ----------
    Cho, K. et al. (2014). Learning Phrase Representations using RNN Encoder-Decoder. EMNLP.
    Equations (5)-(8).
    """

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__(n_features, hidden)
        self.gru = nn.GRU(n_features, hidden, batch_first=True)

    def forward(
        self, rows: Tensor, gaps: Tensor, length: Tensor, path: InputPath | None = None
    ) -> Tensor:
        """Encode; the gaps are among the features of the rows."""
        del path
        states, _ = self.gru(rows)
        last = (length - 1)[:, None, None].expand(-1, 1, self.hidden)
        out: Tensor = states.gather(1, last)[:, 0]
        return out


class ODERNNEncoder(Encoder):
    """State that follows a dynamics between rows and jumps at each by a gated recurrent unit.

    Where the dynamics is a plain `MLP` without inputs and the steps of the solver are fixed and
    explicit, the reading of all rows is one node of autograd's graph, written out by hand.

    Parameters
    ----------
    n_features : int
        Features of a row.
    dynamics : Dynamics
        Field between rows of the first ``dim`` numbers of the state; the others wait.
    solver : str
        Method of integration.
    solver_params : dict
        Its options; the unit of time is the horizon.
    cell : SpreadCell, optional
        What updates the state at a row, of a ``dim`` of the dynamics; by default a gated
        recurrent unit, whose state is as large as that.

    References
    ----------
    Rubanova, Y., Chen, R. T. Q., Duvenaud, D. (2019). Latent Ordinary Differential Equations
    for Irregularly-Sampled Time Series. NeurIPS. Algorithm 1.
    """

    def __init__(
        self,
        n_features: int,
        dynamics: Dynamics,
        solver: str,
        solver_params: dict[str, Any],
        cell: SpreadCell | None = None,
    ) -> None:
        updated = nn.GRUCell(n_features, dynamics.dim) if cell is None else cell
        super().__init__(n_features, updated.hidden_size)
        self.dynamics, self.solver, self.solver_params = dynamics, solver, solver_params
        self.cell = updated

    def forward(
        self, rows: Tensor, gaps: Tensor, length: Tensor, path: InputPath | None = None
    ) -> Tensor:
        """Encode, one row at a time, each with its own gap; a negative one goes back in time."""
        if path is not None:
            return self._plainly(rows.transpose(0, 1), gaps, length, path)
        if torch.is_grad_enabled():
            return self._read(rows, gaps, length)
        # Rows of a batch know nothing of one another, and what is kept of a part is let go.
        parts = zip(*(torch.split(x, PART) for x in (rows, gaps, length)), strict=True)
        return torch.cat([self._read(*part) for part in parts])

    def _followed(self, gaps: Tensor) -> Tensor:
        """How long a dynamics is followed over gaps: no longer than it can be by steps."""
        if self.dynamics.closed_form:
            return gaps
        return gaps.clamp(-LONGEST_GAP, LONGEST_GAP)

    def _read(self, rows: Tensor, gaps: Tensor, length: Tensor) -> Tensor:
        """Encode as one node, where that can be."""
        rows = rows.transpose(0, 1).contiguous()

        def plainly(rows: Tensor) -> Tensor:
            return self._plainly(rows, gaps, length, None)

        method, followed = (self.solver, self.solver_params), self._followed(gaps)
        reader = reader_of(self.dynamics, method, self.cell, rows, followed, length, plainly)
        if reader is not None:
            out = read(reader, rows, self.dynamics, self.cell)
            if bool(torch.isfinite(out.detach()).all()):
                return out
        # Which also says what went wrong, and where.
        return plainly(rows)

    def _plainly(
        self, rows: Tensor, gaps: Tensor, length: Tensor, path: InputPath | None
    ) -> Tensor:
        """Encode rows (n_rows, batch, n_features) by any dynamics and solver."""
        state = rows.new_zeros(rows.shape[1], self.hidden)
        flow = self.dynamics if path is None else Driven(self.dynamics, path)
        ends = gaps.cumsum(1) - gaps.sum(1, keepdim=True)
        for i, row in enumerate(rows):
            gap = self._followed(gaps[:, i])
            begin = torch.zeros_like(gap) if path is None else ends[:, i] - gap
            times = torch.stack([begin, begin + gap], 1)
            moved, waiting = state.tensor_split([self.dynamics.dim], 1)
            solution = solve(
                flow,
                flow.lift(moved),
                times,
                solver=self.solver,
                on_failure="raise" if self.training else "nan",
                **self.solver_params,
            )
            before = torch.cat([flow.read(solution.ys[:, -1]), waiting], 1)
            state = torch.where((i < length)[:, None], self.cell(row, before), state)
        return state
