"""Network of the classifier: a stem, an ODE block and a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from odeseries.interfaces import Dynamics, Solver
from odeseries.solvers.solve import solve

__all__ = ["ConvolutionalStem", "ODEBlock", "ODENet", "Pixels", "perceptron_stem"]

LARGEST_SIDE = 8

Gradient: TypeAlias = Literal["autograd", "checkpoint", "adjoint"]


class ODEBlock(nn.Module):
    r"""The state at :math:`T` of a learned differential equation that starts at the input.

    .. math:: \dot s = f(t, s), \quad s(0) = \mathrm{lift}(z), \quad z' = \mathrm{read}(s(T))

    Parameters
    ----------
    dynamics : Dynamics
        Field, with how it lifts and reads.
    T : float
        End of the time, from 0.
    learn_T : bool
        Whether ``T`` is learnt, beginning with that value.
    solver : str or Solver class
        Method.
    gradient : {"autograd", "checkpoint", "adjoint"}
        Way to the gradients.
    options : mapping
        Further arguments of `solve`.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Equation (2) and section 3.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        *,
        T: float,
        learn_T: bool,
        solver: str | type[Solver],
        gradient: Gradient,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.dynamics = _Stretched(dynamics, T) if learn_T else dynamics
        self.end = 1.0 if learn_T else T
        self.solver, self.gradient, self.options = solver, gradient, dict(options)

    @property
    def T(self) -> float:
        """End of the time as it is."""
        if isinstance(self.dynamics, _Stretched):
            return float(self.dynamics.T.detach())
        return self.end

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """State ``[batch, ..., dim]`` at the end, and evaluations ``[batch]``."""
        times = torch.tensor([0.0, self.end], dtype=z.dtype, device=z.device)
        start = self.dynamics.lift(z)
        solution = solve(
            self.dynamics,
            start,
            times,
            solver=self.solver,
            gradient=self.gradient,
            **self.options,
        )
        return self.dynamics.read(solution.ys[:, -1]), solution.stats.nfe


class _Stretched(Dynamics):
    """Another dynamics over a unit of time, which stands for a learnt length ``T``."""

    def __init__(self, inner: Dynamics, T: float) -> None:
        super().__init__(inner.dim)
        self.inner, self.autonomous = inner, inner.autonomous
        self.log_T = nn.Parameter(torch.tensor(float(T)).log())

    @property
    def T(self) -> Tensor:
        """Length of the time, positive."""
        return self.log_T.exp()

    @property
    def state_dim(self) -> int:
        """That of the other dynamics."""
        return self.inner.state_dim

    def lift(self, z: Tensor) -> Tensor:
        """As the other dynamics."""
        return self.inner.lift(z)

    def read(self, state: Tensor) -> Tensor:
        """As the other dynamics."""
        return self.inner.read(state)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative by the share of the time."""
        slope: Tensor = self.inner(self.T * t, state, inputs)
        return self.T * slope


class ODENet(nn.Module):
    """Stem, ODE block, readout and head.

    Parameters
    ----------
    stem : nn.Module
        From rows to vectors of the block's dimension.
    block : ODEBlock
        Moves them.
    readout : nn.Module
        From the end of the block to one vector a row.
    head : nn.Module
        From that to a logit per class.
    """

    def __init__(
        self, stem: nn.Module, block: ODEBlock, readout: nn.Module, head: nn.Module
    ) -> None:
        super().__init__()
        self.stem, self.block, self.readout, self.head = stem, block, readout, head

    def forward(self, x: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Logits ``[batch, n_classes]``; ``drop`` changes what the head sees, in training."""
        end: Tensor = self.readout(self.block(self.stem(x))[0])
        logits: Tensor = self.head(end if drop is None else drop(end))
        return logits

    def evaluations(self, x: Tensor) -> Tensor:
        """Evaluations of the field per row, ``[batch]``."""
        nfe: Tensor = self.block(self.stem(x))[1]
        return nfe


def perceptron_stem(n_features: int, width: int) -> nn.Module:
    """One layer."""
    return nn.Sequential(nn.Linear(n_features, width), nn.SiLU())


class ConvolutionalStem(nn.Module):
    """Convolutions and halvings of an image, at least one, until no side is longer than 8 pixels.

    The largest of four pixels stands for them; an image that is as small as that from the
    beginning is halved by a convolution's stride, which loses less. Images and states have their
    channels last.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.
    width : int
        Channels of the result; the first layer has half as many.

    Attributes
    ----------
    n_pixels : int
        Pixels of the result.
    """

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, *sides = shape
        inner = max(width // 2, 1)
        layers: list[nn.Module] = [nn.Conv2d(channels, inner, 3, padding=1)]
        if max(sides) <= LARGEST_SIDE:
            layers += [*_normal(inner), nn.Conv2d(inner, width, 3, stride=2, padding=1)]
            sides = _halved(sides)
        while max(sides) > LARGEST_SIDE:
            # Pooled first: what follows is the same function of a quarter of the pixels.
            layers += [nn.MaxPool2d(2, ceil_mode=True), *_normal(inner)]
            layers += [nn.Conv2d(inner, width, 3, padding=1)]
            sides, inner = _halved(sides), width
        self.layers = nn.Sequential(*layers)
        self.n_pixels = sides[0] * sides[1]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, height, width, channels]`` to fewer pixels of more channels."""
        out: Tensor = self.layers(x.permute(0, 3, 1, 2))
        return out.permute(0, 2, 3, 1)


def _normal(channels: int) -> tuple[nn.Module, nn.Module]:
    """Normalised and rectified channels."""
    return nn.GroupNorm(1, channels), nn.ReLU()


def _halved(sides: list[int]) -> list[int]:
    return [(side + 1) // 2 for side in sides]


class Pixels(nn.Module):
    """The rectified channels of all pixels.

    Parameters
    ----------
    width : int
        Channels of a state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``[batch, height, width, channels]`` to ``[batch, pixels * channels]``."""
        rectified: Tensor = self.norm(z).relu()
        return rectified.flatten(1)
