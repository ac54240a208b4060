"""Randomness that makes training harder, and predictions smoother."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["dropped", "noisy"]


def noisy(x: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Numbers with normal noise of a standard deviation ``scale``.

    Parameters
    ----------
    x : Tensor
        Numbers, of any shape.
    scale : float
        Nothing is drawn where it is 0.
    generator : torch.Generator
        On the CPU, so that every device sees the same.
    """
    if scale == 0:
        return x
    return x + scale * torch.randn(x.shape, generator=generator).to(x)


def dropped(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Numbers at random places set to zero, and the others raised to keep the mean.

    Parameters
    ----------
    x : Tensor
        Numbers, of any shape.
    share : float
        Probability of a zero, below 1; nothing is drawn where it is 0.
    generator : torch.Generator
        On the CPU, so that every device sees the same.

    References
    ----------
    Srivastava, N., Hinton, G., Krizhevsky, A., Sutskever, I., Salakhutdinov, R. (2014). Dropout: A
    Simple Way to Prevent Neural Networks from Overfitting. Journal of Machine Learning Research
    15. Section 4; here raised in training, instead of lowered in prediction.
    """
    if share == 0:
        return x
    kept = torch.rand(x.shape, generator=generator) >= share
    return x * (kept / (1 - share)).to(x)
