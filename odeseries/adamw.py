"""Steps of AdamW by one kernel, without what ``torch.optim`` looks through in every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["AdamW"]

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

GroupState = list[list[Tensor]]
"""Means, squares and counts of a group."""


class AdamW:
    """Adam with weights of matrices that decay.

    Weights are those of ``torch.optim.AdamW(fused=True)``, complex ones too. A parameter without a
    gradient is left as it is.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        Changed in place. They stay on the device where they are in the first step.
    rate : float
        Learning rate of the next steps, which may be set.
    decay : float
        Decoupled weight decay of parameters with more than one axis.

    References
    ----------
    Loshchilov, I., Hutter, F. (2019). Decoupled Weight Decay Regularization. ICLR. Algorithm 2.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, decay: float) -> None:
        self.rate = rate
        groups: dict[tuple[float, torch.dtype], list[nn.Parameter]] = {}
        for p in parameters:
            groups.setdefault((decay if p.ndim > 1 else 0.0, p.dtype), []).append(p)
        self._groups = [_Group(alike, share) for (share, _), alike in groups.items()]

    @torch.no_grad()
    def step(self) -> None:
        """Go one step against the gradients."""
        for group in self._groups:
            group.step(self.rate)

    def state(self) -> list[GroupState]:
        """What the next step depends on beside weights and rate; not copied."""
        return [group.state() for group in self._groups]

    def restore(self, state: Sequence[GroupState]) -> None:
        """Go on from a copy of a state."""
        for group, kept in zip(self._groups, state, strict=True):
            group.restore(kept)


class _Group:
    """Parameters of one decay and precision.

    Attributes
    ----------
    counts : Tensor of shape (n_parameters,)
        Numbers of gradients so far, raised together: one each would cost more than all the rest.
    rows : list of tuple
        Of every parameter itself, the moving averages of its gradients and of their squares,
        complex ones as real numbers, and its count. Empty before the first step.
    """

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.rows: list[tuple[nn.Parameter, Tensor, Tensor, Tensor]] = []

    def _begin(self) -> None:
        """Where the parameters are by now."""
        self.counts = torch.zeros(len(self.parameters), device=self.parameters[0].device)
        zeros = ([torch.zeros_like(_real(p.detach())) for p in self.parameters] for _ in range(2))
        self.rows = list(zip(self.parameters, *zeros, self.counts.unbind(), strict=True))

    def step(self, rate: float) -> None:
        """Go one step."""
        if not self.rows:
            self._begin()
        rows = [
            (_real(p), _real(p.grad), mean, square, count)
            for p, mean, square, count in self.rows
            if p.grad is not None
        ]
        if len(rows) == len(self.rows):
            self.counts += 1
        else:
            self.counts += self.counts.new_tensor([p.grad is not None for p in self.parameters])
        if rows:
            parameters, grads, means, squares, counts = zip(*rows, strict=True)
            torch._fused_adamw_(
                parameters,
                grads,
                means,
                squares,
                [],
                counts,
                lr=rate,
                beta1=BETA1,
                beta2=BETA2,
                weight_decay=self.decay,
                eps=EPS,
                amsgrad=False,
                maximize=False,
            )

    def state(self) -> GroupState:
        """Means, squares and, in one, counts; empty before the first step."""
        if not self.rows:
            return []
        _, means, squares, _ = zip(*self.rows, strict=True)
        return [list(means), list(squares), [self.counts]]

    def restore(self, state: GroupState) -> None:
        """Go on from a copy of a state."""
        self.rows = []
        if state:
            self._begin()
            for own, kept in zip(self.state(), state, strict=True):
                torch._foreach_copy_(own, kept)


def _real(x: Tensor) -> Tensor:
    """The same memory as real numbers."""
    return torch.view_as_real(x) if x.is_complex() else x
