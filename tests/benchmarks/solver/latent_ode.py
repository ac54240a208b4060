"""The latent ODE of Rubanova et al. 2019 with its PhysioNet sizes, on `odeseries.solve`.

The same model as the peers': an ODE-RNN encoder run backwards (state 40, Euler between
observations, gated update of mean and spread), latent state 20, vector fields with 4 hidden layers
of 50 tanh units, Dopri5 at rtol 1e-3, atol 1e-4, 3 latent samples, linear decoder, Adamax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from odeseries.dynamics import MLP
from odeseries.interfaces import Solution
from odeseries.nets import Perceptron, unrolled
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
        seen = 2 * ENCODER + 2 * channels
        self.encoder_field = MLP(ENCODER, hidden=UNITS, depth=4)
        self.decoder_field = MLP(LATENT, hidden=UNITS, depth=4)
        self.gates = Perceptron((seen, 2 * UNITS, 2 * ENCODER), nn.Tanh)
        self.candidate = Perceptron((seen, UNITS, 2 * ENCODER), nn.Tanh)
        self.initial = Perceptron((2 * ENCODER, 100, 2 * LATENT), nn.Tanh)
        self.readout = nn.Linear(LATENT, channels)

    def encode(self, times: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Mean and spread at the first time, (batch, 2 * ENCODER)."""
        gaps = times.diff(dim=1)[:, :, None]
        observed = torch.cat([values, mask], -1).unbind(1)
        mean = spread = values.new_zeros(len(values), ENCODER)
        with unrolled(self):
            for i in reversed(range(times.shape[1])):
                if i + 1 < times.shape[1]:
                    mean = torch.addcmul(mean, gaps[:, i], self.encoder_field(gaps, mean), value=-1)
                mean, spread = self.updated(mean, spread, observed[i])
        return torch.cat([mean, spread], -1)

    def updated(self, mean: Tensor, spread: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Gated update of mean and spread by an observation."""
        both = torch.cat([mean, spread, observed], -1)
        update, reset = torch.sigmoid(self.gates(both)).chunk(2, -1)
        new = self.candidate(torch.cat([mean * reset, spread * reset, observed], -1))
        new_mean, new_spread = new.chunk(2, -1)
        mean = torch.lerp(new_mean, mean, update)
        return mean, torch.lerp(new_spread.abs(), spread, update).abs()

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
