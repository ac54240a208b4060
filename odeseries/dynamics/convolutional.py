"""A vector field on images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from odeseries.interfaces import Dynamics

__all__ = ["Convolutional"]


class Convolutional(Dynamics):
    r"""Field on images: two 3 x 3 convolutions, of the same weights at every time.

    The activation is smooth: at kinks, adaptive steps would be cut short and adjoint gradients
    go wrong. A state has the shape (batch, ..., height, width, dim): its channels come last, as the
    coordinates of any other dynamics do. States of fewer than four axes are single pixels.

    Parameters
    ----------
    dim : int
        Number of channels.
    hidden : int, optional
        Channels between the two convolutions; ``dim`` by default.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Section 3.

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import Convolutional
    >>> Convolutional(3)(torch.zeros(5, 1, 1, 1), torch.zeros(5, 8, 8, 3)).shape
    torch.Size([5, 8, 8, 3])
    """

    on_images: ClassVar[bool] = True

    def __init__(self, dim: int, *, hidden: int | None = None) -> None:
        super().__init__(dim)
        inner = hidden or dim
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(inner)])
        self.layers = nn.ModuleList(
            [nn.Conv2d(dim, inner, 3, padding=1), nn.Conv2d(inner, dim, 3, padding=1)]
        )

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        del t, inputs
        out = state.reshape(-1, *(state.shape[-3:-1] if state.ndim > 3 else (1, 1)), self.dim)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            images = functional.silu(norm(out)).permute(0, 3, 1, 2)
            out = layer(images).permute(0, 2, 3, 1)
        return out.reshape(state.shape)
