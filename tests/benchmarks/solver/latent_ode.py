"""The latent ODE of Rubanova et al. 2019 with its PhysioNet sizes, on `odeseries.solve`.

The same model as the peers': an ODE-RNN encoder run backwards (state 40, Euler between
observations, gated update of mean and spread), latent state 20, vector fields with 4 hidden layers
of 50 tanh units, Dopri5 at rtol 1e-3, atol 1e-4, 3 latent samples, linear decoder, Adamax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.cells import SpreadCell
from odeseries.dynamics import MLP
from odeseries.encoders import ODERNNEncoder
from odeseries.interfaces import Solution
from odeseries.nets import Perceptron
from odeseries.solvers import solve

LATENT, ENCODER, UNITS, SAMPLES = 20, 40, 50, 3


class LatentODE(nn.Module):
    """Encoder, latent flow and decoder.

    Parameters
    ----------
    channels : int
        Channels of the series.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        cell = SpreadCell(2 * channels, ENCODER, UNITS)
        field = MLP(ENCODER, hidden=UNITS, depth=4)
        self.encoder = ODERNNEncoder(2 * channels, field, "euler", {"n_steps": 1}, cell)
        self.decoder_field = MLP(LATENT, hidden=UNITS, depth=4)
        self.initial = Perceptron((2 * ENCODER, 100, 2 * LATENT), nn.Tanh)
        self.readout = nn.Linear(LATENT, channels)

    def encode(self, times: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Mean and spread at the first time, (batch, 2 * ENCODER); the rows are read backwards."""
        rows = torch.cat([values, mask], -1).flip(1)
        gaps = -functional.pad(times.diff(dim=1).flip(1), (1, 0))
        code: Tensor = self.encoder(rows, gaps, torch.full((len(rows),), rows.shape[1]))
        return code

    def decode(self, start: Tensor, times: Tensor) -> Solution:
        """States at the times of every row, (SAMPLES * batch, 1 + n_times, LATENT)."""
        grid = torch.cat([torch.zeros_like(times[:, :1]), times], 1)
        return solve(
            self.decoder_field,
            start,
            grid.repeat(SAMPLES, 1),
            solver="dopri5",
            rtol=1e-3,
            atol=1e-4,
        )

    def forward(self, times: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Log-likelihood of every sample and series, (SAMPLES, batch)."""
        code = self.initial(self.encode(times, values, mask))
        centre, scale = code.chunk(2, -1)
        start = centre + scale.abs() * torch.randn(SAMPLES, len(values), LATENT)
        path = self.decode(start.flatten(0, 1), times).ys[:, 1:]
        forecast = self.readout(path).unflatten(0, (SAMPLES, -1))
        return -(((forecast - values) ** 2) * mask).sum((-1, -2)) / (2 * 0.01**2)


def loss_of(model: nn.Module, times: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood as the peers take it."""
    return -torch.logsumexp(model(times, values, mask).mean(1), 0)
