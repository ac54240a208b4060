"""GRU-D, made to forecast: what a user of recurrent networks would take instead.

Che et al. (2018), equations (10)-(13): missing values are the last ones decayed to the mean, and
the state decays over the time since a variable was seen. The state after the last row is decoded,
with what is known of a query's time, into all variables.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GRUD", "Window", "batched", "train"]

CLIP_NORM = 1.0


@dataclass(frozen=True, eq=False)
class Window:
    """One history with its queries; NaN is "not observed".

    Attributes
    ----------
    times, values : ndarray of shape (n_rows,), (n_rows, n_channels)
        History.
    features : ndarray of shape (n_queries, n_features)
        What is known of the queries' times.
    targets : ndarray of shape (n_queries, n_channels)
        Truth.
    """

    times: np.ndarray
    values: np.ndarray
    features: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Padded:
    """Windows of a batch, padded at the beginning of the histories and the end of the queries."""

    values: Tensor
    mask: Tensor
    since: Tensor
    last: Tensor
    features: Tensor
    targets: Tensor
    observed: Tensor


def batched(windows: Sequence[Window]) -> Padded:
    """Pad windows; ``since`` is the time since each variable was last seen, ``last`` its value."""
    n_rows = max(len(w.times) for w in windows)
    n_asked = max(len(w.targets) for w in windows)
    rows = [_rows(w, n_rows) for w in windows]
    asked = [_padded(w.features, n_asked, after=True) for w in windows]
    truth = [_padded(w.targets, n_asked, after=True, fill=np.nan) for w in windows]
    values, mask, since, last = (_stacked(part) for part in zip(*rows, strict=True))
    targets = _stacked(truth)
    observed = torch.isfinite(targets)
    return Padded(
        values, mask, since, last, _stacked(asked), torch.nan_to_num(targets), observed.float()
    )


class GRUD(nn.Module):
    """The network.

    Parameters
    ----------
    n_channels, n_features : int
        Variables, and features of a query.
    hidden : int
        Width of state and decoder.
    """

    def __init__(self, n_channels: int, n_features: int, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = hidden
        self.input_decay = nn.Parameter(torch.zeros(2, n_channels))
        self.state_decay = nn.Linear(n_channels, hidden)
        self.cell = nn.GRUCell(2 * n_channels, hidden)
        self.decode = nn.Sequential(
            nn.Linear(hidden + n_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, n_channels),
        )

    def forward(self, batch: Padded) -> Tensor:
        """Means at the queries, (batch, n_queries, n_channels); the variables' means are 0."""
        weight, bias = self.input_decay
        keep = torch.exp(-functional.relu(weight * batch.since + bias))
        inputs = torch.where(batch.mask > 0, batch.values, keep * batch.last)
        inputs = torch.cat([inputs, batch.mask], -1)
        fades = torch.exp(-functional.relu(self.state_decay(batch.since)))
        state = inputs.new_zeros(len(inputs), self.hidden)
        for i in range(inputs.shape[1]):
            state = self.cell(inputs[:, i], fades[:, i] * state)
        wide = state[:, None].expand(-1, batch.features.shape[1], -1)
        out: Tensor = self.decode(torch.cat([wide, batch.features], -1))
        return out

    def error(self, batch: Padded) -> Tensor:
        """Mean squared error over the observed targets."""
        squares = (self(batch) - batch.targets) ** 2 * batch.observed
        return squares.sum() / batch.observed.sum().clamp(min=1)


def train(
    net: GRUD,
    windows: Sequence[Window],
    held: Sequence[Window],
    *,
    seed: int,
    batch_size: int = 32,
    rate: float = 3e-3,
    max_epochs: int = 15,
    patience: int = 5,
) -> float:
    """Adam until the error on the held-out windows stops falling; the best weights are kept.

    Returns
    -------
    float
        The least error on the held-out windows.
    """
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(net.parameters(), rate)
    judged = [batched(held[i : i + 128]) for i in range(0, len(held), 128)]
    best, kept, waited = np.inf, net.state_dict(), 0
    for _ in range(max_epochs):
        order = rng.permutation(len(windows))
        for chosen in np.array_split(order, -(-len(order) // batch_size)):
            optimiser.zero_grad()
            net.error(batched([windows[k] for k in chosen])).backward()
            nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
            optimiser.step()
        error = _mean_error(net, judged)
        waited += 1
        if error < best:
            best, kept, waited = error, copy.deepcopy(net.state_dict()), 0
        if waited >= patience:
            break
    net.load_state_dict(kept)
    return best


@torch.no_grad()
def _mean_error(net: GRUD, batches: Sequence[Padded]) -> float:
    counts = torch.stack([b.observed.sum() for b in batches])
    errors = torch.stack([net.error(b) for b in batches])
    return float((errors * counts).sum() / counts.sum())


def _rows(window: Window, n_rows: int) -> tuple[np.ndarray, ...]:
    """Values, mask, time since last seen and last value, each (n_rows, n_channels)."""
    mask = np.isfinite(window.values)
    times = np.broadcast_to(window.times[:, None], mask.shape)
    start = window.times[0] if len(window.times) else 0.0
    seen = np.where(mask, times, start)
    before = np.vstack([np.full((1, mask.shape[1]), start), seen])[:-1]
    latest = np.maximum.accumulate(before, axis=0) if len(before) else before
    index = np.maximum.accumulate(np.where(mask, np.arange(len(mask))[:, None], -1), axis=0)
    index = np.vstack([np.full((1, mask.shape[1]), -1), index])[:-1]
    filled = np.where(mask, window.values, 0.0)
    columns = np.arange(mask.shape[1])
    last = np.where(index >= 0, filled[np.maximum(index, 0), columns], 0.0)
    found = (filled, mask.astype(float), times - latest, last)
    return tuple(_padded(part, n_rows, after=False) for part in found)


def _padded(array: np.ndarray, length: int, *, after: bool, fill: float = 0.0) -> np.ndarray:
    missing = length - len(array)
    pads = (0, missing) if after else (missing, 0)
    return np.pad(array, (pads, (0, 0)), constant_values=fill)


def _stacked(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
