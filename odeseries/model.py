"""What a forecaster's network offers to training and forecasting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from odeseries.windows import Batch

__all__ = ["ClosedForm", "Model"]


class Model(nn.Module, ABC):
    """What a forecaster's network offers to the fit.

    What it learns, in ``start`` and in training, must be in its parameters and buffers: averaging,
    checkpoints and saved files hold nothing else.

    Attributes
    ----------
    has_paths : bool
        Whether it draws joint paths by ``paths``, which are taken as they are. Those of other
        networks are made from their quantiles, widened as held-out forecasts ask for, and a
        copula.
    n_start_windows : int
        Windows that ``start`` is given at most, and at least half of them or 1,024; with more for
        channels that are rare in these, see `odeseries.sampling.with_rare`.
    """

    has_paths: ClassVar[bool] = False
    n_start_windows: int = 1024

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Loss of every window, shape (batch,)."""

    @abstractmethod
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (batch, n_queries, channels, n_levels) and ages, standardised."""

    @abstractmethod
    def start(self, batches: Sequence[Batch]) -> None:
        """Take statistics from windows before the first step."""

    def paths(self, batch: Batch, keys: Tensor, n_paths: int) -> Tensor:
        """Joint paths of every window, (batch, n_queries, channels, n_paths), standardised.

        Parameters
        ----------
        batch : Batch
        keys : Tensor of int64, shape (batch,)
            Randomness of every window, on which its paths depend and on no other window. Windows
            of one key have one anchor and are parts of one path.
        n_paths : int
            Number of paths.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no paths: see has_paths")


class ClosedForm(Model):
    """A network that learns in ``start`` alone; its loss only judges it.

    Attributes
    ----------
    levels : sequence of float
        Quantiles whose pinball losses are averaged.
    """

    levels: ClassVar[Sequence[float]]

    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Mean pinball loss of every window, shape (batch,)."""
        del generator
        levels = torch.tensor(self.levels, device=batch.targets.device, dtype=torch.float64)
        error = batch.targets[..., None] - self.quantiles(batch, levels)[0]
        return batch.mean_of_observed(torch.maximum(levels * error, (levels - 1) * error).mean(-1))
