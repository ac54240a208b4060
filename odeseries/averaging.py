"""Exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Averaged", "State"]

AVERAGING = 0.97

State = dict[str, Tensor]


class Averaged:
    """Exponential moving average of a network's weights.

    Parameters
    ----------
    net : nn.Module
        Its weights begin the average.
    keep : float
        Share of the average that a step keeps.
    """

    def __init__(self, net: nn.Module, keep: float = AVERAGING) -> None:
        self.net, self.keep, self.count = net, keep, 0
        self.state: State = {k: v.detach().clone() for k, v in net.state_dict().items()}
        learned: State = dict(net.named_parameters(remove_duplicate=False))
        self._means = [mean for name, mean in self.state.items() if name in learned]
        self._weights = [learned[name] for name in self.state if name in learned]
        self._buffers = [name for name in self.state if name not in learned]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the current weights, faster in the beginning."""
        self.count += 1
        keep = min(self.keep, self.count / (self.count + 10))
        torch._foreach_lerp_(self._means, self._weights, 1 - keep)
        for name in self._buffers:
            value = self.net.get_buffer(name)
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - keep)
            else:
                self.state[name].copy_(value)

    def restore(self, state: State, count: int) -> None:
        """Take over an average that was kept."""
        for name, value in state.items():
            self.state[name].copy_(value)
        self.count = count

    def copy(self) -> State:
        """The averaged weights, as tensors of their own."""
        return {k: v.clone() for k, v in self.state.items()}
