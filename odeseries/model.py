"""What a forecaster's network offers to training and forecasting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from odeseries.windows import Batch

__all__ = ["Model"]


class Model(nn.Module, ABC):
    """What a forecaster's network offers to the fit.

    What it learns, in ``start`` and in training, must be in its parameters and buffers: averaging,
    checkpoints and saved files hold nothing else.
    """

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Loss of every window, shape (batch,)."""

    @abstractmethod
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (batch, n_queries, channels, n_levels) and ages, standardised."""

    @abstractmethod
    def start(self, batches: Sequence[Batch]) -> None:
        """Take statistics from windows before the first step."""
