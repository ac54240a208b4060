"""What the experiments share: one way to train, and how to count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

__all__ = ["count", "train"]

CLIP = 10.0


def train(
    parameters: Iterable[Tensor],
    loss: Callable[[int], Tensor],
    n_steps: int,
    rate: float,
    *,
    decayed: Iterable[Tensor] = (),
    decay: float = 0.0,
) -> list[float]:
    """Follow gradients by Adam with a rate that falls to zero, and return the losses.

    Parameters
    ----------
    parameters : iterable of Tensor
        What is learned, and does not decay.
    loss : callable
        ``loss(step)``, a scalar.
    n_steps : int
        Number of steps.
    rate : float
        Learning rate of the first step; it follows half a cosine.
    decayed : iterable of Tensor
        What is learned as well, and decays.
    decay : float
        Its weight decay, a step, per learning rate.
    """
    kinds = [list(parameters), list(decayed)]
    groups = [
        {"params": kind, "weight_decay": by}
        for kind, by in zip(kinds, (0.0, decay), strict=True)
        if kind
    ]
    optimiser = torch.optim.AdamW(groups, rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: (1 + math.cos(math.pi * step / n_steps)) / 2
    )
    losses = []
    for step in range(n_steps):
        optimiser.zero_grad()
        value = loss(step)
        value.backward()
        nn.utils.clip_grad_norm_(kinds[0] + kinds[1], CLIP)
        optimiser.step()
        schedule.step()
        losses.append(value.item())
    return losses


def count(module: nn.Module) -> int:
    """Number of learned parameters."""
    return sum(p.numel() for p in module.parameters())
