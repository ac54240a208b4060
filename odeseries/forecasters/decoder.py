"""From latent states to observed channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from odeseries.forecasters.increments import Increments
from odeseries.nets import Perceptron, zero_last_layer

__all__ = ["FIRST_NOISE", "QUIETEST", "Decoder"]

LEAST_NOISE = -7.0
QUIETEST, FIRST_NOISE = -4.5, -3.0
"""Logarithms of the least observation noise to begin with, and of the largest, in deviations."""
SHRUNK = 0.98
RIDGE = 1e-4


class Decoder(nn.Module):
    """From states to channels: a linear map, and a perceptron that begins as zero.

    Parameters
    ----------
    dim, n_channels, hidden : int
        Dimension of the vector, channels, width of the perceptron.
    """

    def __init__(self, dim: int, n_channels: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_channels)
        self.rest = Perceptron((dim, hidden, n_channels))
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        zero_last_layer(self.rest)
        self.log_noise = nn.Parameter(torch.full((n_channels,), FIRST_NOISE))

    def forward(self, z: Tensor) -> Tensor:
        """Expected values, (..., n_channels)."""
        out: Tensor = self.linear(z) + self.rest(z)
        return out

    @torch.no_grad()
    def start(self, seen: Increments) -> Tensor:
        """Begin with coordinates of variance 1 that are disturbed independently of one another.

        These come from the products of increments of the channels, divided by the time they took.

        Returns
        -------
        Tensor of shape (n_channels,)
            Sizes of the disturbances of the first coordinates, per root of time; empty if there
            are fewer coordinates than channels, or too little is known.
        """
        n_channels, dim = self.linear.weight.shape
        if dim < n_channels or not seen.suffice:
            return seen.gap.new_empty(0)
        driving = seen.change.T @ seen.change / seen.gap.sum()
        size = driving.diagonal().clamp(min=1e-12).sqrt()
        shrunk = SHRUNK * driving / size / size[:, None]
        shrunk.fill_diagonal_(1.0)
        root = size[:, None] * torch.linalg.cholesky(shrunk)
        spread = torch.linalg.solve_triangular(root, seen.values.T, upper=False).std(1)
        scale = spread.clamp(min=1e-6)
        self.linear.weight[:, :n_channels] = root * scale
        sizes: Tensor = 1 / scale
        return sizes

    def encode(self, values: Tensor, seen: Tensor) -> Tensor:
        """The vectors next to 0 that the linear map takes to what was seen, (..., dim)."""
        weight = self.linear.weight
        gram = weight @ weight.T + RIDGE * torch.eye(len(weight), device=weight.device)
        back: Tensor = torch.linalg.inv(gram) @ weight
        return ((values - self.linear.bias) * seen) @ back

    def coordinates(self, seen: Increments) -> tuple[Tensor, Tensor, Tensor]:
        """Of increments: the vectors before, what is added to their first coordinates, its noise.

        The last is the standard deviation of an observation of these coordinates.
        """
        here, there = (
            self.encode(values, torch.ones_like(values))
            for values in (seen.values, seen.values + seen.change)
        )
        n = seen.change.shape[1]
        inverse = torch.linalg.inv(self.linear.weight[:, :n])
        return here, (there - here)[:, :n], (inverse.square() @ self.noise().square()).sqrt()

    def start_noise(self, noise: Tensor) -> None:
        """Begin with an observation noise of the first coordinates, (n_channels,)."""
        square = self.linear.weight[:, : len(noise)].square() @ noise.square()
        self.log_noise.copy_((square.log() / 2).clamp(QUIETEST, FIRST_NOISE))

    def noise(self) -> Tensor:
        """Standard deviation of the observation noise of every channel."""
        return torch.exp(self.log_noise.clamp(min=LEAST_NOISE))

    def log_likelihood(self, z: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        """Of the values seen, in nats: from (batch, n, ...) to (batch,)."""
        noise = self.noise()
        score = (values - self(z)) / noise
        each = -0.5 * score**2 - torch.log(noise) - 0.5 * math.log(2 * math.pi)
        total: Tensor = (each * seen).sum((1, 2))
        return total
