"""What a recurrent state goes through at a row, for autograd and written out over all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from odeseries.nets import Perceptron
from odeseries.stacked import Layers

__all__ = ["Jumps", "SpreadCell", "jumps_of"]


def halves(state: Tensor) -> Tensor:
    """Both halves of states (..., 2 * dim), of shape (..., 2, dim)."""
    return state.reshape(*state.shape[:-1], 2, -1)


class SpreadCell(nn.Module):
    r"""Gated recurrent unit of a mean and a spread.

    With the observed :math:`x`, the gates :math:`(u, r) = \sigma(G([m, s, x]))` and the candidate
    :math:`(m', s') = C([r \odot m, r \odot s, x])`, mean and spread become
    :math:`u \odot m + (1 - u) \odot m'` and :math:`u \odot s + (1 - u) \odot |s'|`.

    Parameters
    ----------
    n_features : int
        Features of a row.
    dim : int
        Dimension of the mean; that of the state is twice as much.
    units : int
        Hidden units of the candidate, and of each of the two gates.

    References
    ----------
    Rubanova, Y., Chen, R. T. Q., Duvenaud, D. (2019). Latent Ordinary Differential Equations
    for Irregularly-Sampled Time Series. NeurIPS. Algorithm 1, with the cell of the experiments.
    """

    def __init__(self, n_features: int, dim: int, units: int) -> None:
        super().__init__()
        self.dim, self.hidden_size = dim, 2 * dim
        self.gates = Perceptron((2 * dim + n_features, 2 * units, 2 * dim), nn.Tanh)
        self.candidate = Perceptron((2 * dim + n_features, units, 2 * dim), nn.Tanh)

    def forward(self, row: Tensor, state: Tensor) -> Tensor:
        """State (batch, 2 * dim) after a row (batch, n_features)."""
        both = halves(state)
        gates = torch.sigmoid(self.gates(torch.cat([state, row], -1)))
        update, reset = halves(gates)[..., None, :].unbind(-3)
        new = self.candidate(torch.cat([(both * reset).flatten(-2), row], -1))
        mean, spread = new.chunk(2, -1)
        # A spread is never negative: it is between two that are not.
        return torch.lerp(torch.stack([mean, spread.abs()], -2), both, update).flatten(-2)


class Jumps(ABC):
    """All jumps of a recurrent state at rows, one after another, and the way back.

    Parameters
    ----------
    parameters : sequence of Tensor
        Those of the cell, in its order.
    rows : Tensor of shape (n_rows, batch, n_features)
        What is observed.
    before : Tensor of shape (n_rows, batch, hidden)
        Where the state before a jump is when it is asked for.
    stacks : sequence of Tensor
        As ``stacks`` makes them.
    """

    parameters: Sequence[Tensor]

    @staticmethod
    @abstractmethod
    def stacks(parameters: Sequence[Tensor], rows: Tensor, hidden: int) -> list[Tensor]:
        """What is kept of all jumps, with what is known of them beforehand."""

    @abstractmethod
    def __init__(
        self,
        parameters: Sequence[Tensor],
        rows: Tensor,
        before: Tensor,
        stacks: Sequence[Tensor],
    ) -> None: ...

    @abstractmethod
    def jump(self, i: int) -> Tensor:
        """State after a row, (batch, hidden)."""

    @abstractmethod
    def begin_back(self) -> None:
        """Begin the way back, from the last row."""

    @abstractmethod
    def back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that at the state before."""

    @abstractmethod
    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all rows."""

    @abstractmethod
    def at_rows(self) -> Tensor:
        """Gradient at the rows, (n_rows, batch, n_features)."""


class SpreadJumps(Jumps):
    """Those of a ``SpreadCell``."""

    @staticmethod
    def stacks(parameters: Sequence[Tensor], rows: Tensor, hidden: int) -> list[Tensor]:
        """Layers of gates and candidate, reset states, signs of the candidate's spread."""
        count, batch, _ = rows.shape
        gates = Layers.stacks(parameters[:4], count, batch, rows)
        candidate = Layers.stacks(parameters[4:], count, batch, rows)
        reset = rows.new_empty(count, batch, hidden)
        return [*gates, *candidate, reset, rows.new_empty(count, batch, hidden // 2)]

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rows: Tensor,
        before: Tensor,
        stacks: Sequence[Tensor],
    ) -> None:
        *layers, reset, self.signs = stacks
        self.rows, self.parameters = rows, parameters
        self.gates = Layers(parameters[:4], before, layers[:2])
        self.candidate = Layers(parameters[4:], reset, layers[2:])
        self.before, self.after_reset, self.new = map(halves, (before, reset, layers[3]))
        self.update, self.reset = halves(layers[1])[..., None, :].unbind(-3)
        spreads = self.new[:, :, 1]
        both = (self.before, self.reset, self.after_reset, self.new, self.update)
        self.views = list(zip(*(x.unbind() for x in (*both, spreads, self.signs)), strict=True))

    def jump(self, i: int) -> Tensor:
        """State after a row, (batch, hidden)."""
        before, reset, after_reset, new, update, spread, sign = self.views[i]
        self.gates.evaluate(i).sigmoid_()
        torch.mul(before, reset, out=after_reset)
        self.candidate.evaluate(i)
        torch.sign(spread, out=sign)
        spread.abs_()
        return torch.lerp(new, before, update).flatten(1)

    def begin_back(self) -> None:
        """Take all factors at once."""
        self.gates.begin_back()
        self.candidate.begin_back()
        signed = torch.stack([torch.ones_like(self.signs), self.signs], -2)
        factors = (
            (self.before - self.new) * (self.update * (1 - self.update)),
            signed * (1 - self.update),
            self.before * (self.reset * (1 - self.reset)),
            self.update,
            self.reset,
        )
        self.factors: list[tuple[Tensor, ...]] = list(
            zip(*(x.unbind() for x in factors), strict=True)
        )

    def back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that at the state before."""
        at_update, at_new, at_reset, update, reset = self.factors[i]
        grad = grad.reshape(at_new.shape)
        back = self.candidate.back(i, (grad * at_new).flatten(1)).view_as(grad)
        gates = torch.cat([(grad * at_update).sum(1), (back * at_reset).sum(1)], 1)
        total = torch.addcmul(grad * update, back, reset).flatten(1)
        return total.add_(self.gates.back(i, gates))

    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all rows."""
        return [*self.gates.sums(self.rows), *self.candidate.sums(self.rows)]

    def at_rows(self) -> Tensor:
        """Gradient at the rows, (n_rows, batch, n_features)."""
        width = self.rows.shape[-1]
        found = [
            layers.sensitivity(0).mm(weight[:, -width:])
            for layers, weight in (
                (self.gates, self.parameters[0]),
                (self.candidate, self.parameters[4]),
            )
        ]
        return (found[0] + found[1]).view_as(self.rows)


class GRUJumps(Jumps):
    """Those of torch's ``GRUCell``, with the state's part of the candidate reset."""

    @staticmethod
    def stacks(parameters: Sequence[Tensor], rows: Tensor, hidden: int) -> list[Tensor]:
        """Gates, the state's and the rows' part of the candidate; the latter becomes the result."""
        weight, _, bias, state_bias = parameters
        known = torch.addmm(bias, rows.flatten(0, 1), weight.t()).view(*rows.shape[:2], -1)
        gates = known[..., : 2 * hidden] + state_bias[: 2 * hidden]
        turned = state_bias[2 * hidden :].expand(*rows.shape[:2], -1).contiguous()
        return [gates, turned, known[..., 2 * hidden :].contiguous()]

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rows: Tensor,
        before: Tensor,
        stacks: Sequence[Tensor],
    ) -> None:
        self.rows, self.parameters, self.kept, self.before = rows, parameters, stacks, before
        hidden = before.shape[-1]
        weight = parameters[1]
        self.weights = weight[: 2 * hidden], weight[2 * hidden :]
        self.turned = [w.t() for w in self.weights]
        self.reset, self.update = stacks[0].chunk(2, -1)
        self.views = list(
            zip(
                *(x.unbind() for x in (before, *stacks, self.reset, self.update)),
                strict=True,
            )
        )

    def jump(self, i: int) -> Tensor:
        """State after a row, (batch, hidden)."""
        before, gates, turned, new, reset, update = self.views[i]
        gates.addmm_(before, self.turned[0]).sigmoid_()
        turned.addmm_(before, self.turned[1])
        new.addcmul_(reset, turned).tanh_()
        return torch.lerp(new, before, update)

    def begin_back(self) -> None:
        """Take all factors at once."""
        _, turned, new = self.kept
        at_new = (1 - self.update) * (1 - new * new)
        at_update = (self.before - new) * (self.update * (1 - self.update))
        at_reset = turned * (self.reset * (1 - self.reset))
        factors = (at_new, at_update, at_reset, self.reset, self.update)
        self.factors: list[tuple[Tensor, ...]] = list(
            zip(*(x.unbind() for x in factors), strict=True)
        )
        self.grads: list[tuple[Tensor, Tensor, Tensor]] = []

    def back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that at the state before."""
        at_new, at_update, at_reset, reset, update = self.factors[i]
        new = grad * at_new
        gates = torch.cat([new * at_reset, grad * at_update], 1)
        turned = new * reset
        self.grads.append((gates, turned, new))
        return (grad * update).addmm_(gates, self.weights[0]).addmm_(turned, self.weights[1])

    def _grads(self) -> tuple[Tensor, Tensor]:
        """Gradients at the state's and the rows' part, (n_rows * batch, 3 * hidden)."""
        gates, turned, new = map(torch.cat, zip(*reversed(self.grads), strict=True))
        return torch.cat([gates, turned], 1), torch.cat([gates, new], 1)

    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all rows."""
        at_state, at_rows = self._grads()
        of_rows = at_rows.t().mm(self.rows.flatten(0, 1))
        of_state = at_state.t().mm(self.before.flatten(0, 1))
        return [of_rows, of_state, at_rows.sum(0), at_state.sum(0)]

    def at_rows(self) -> Tensor:
        """Gradient at the rows, (n_rows, batch, n_features)."""
        return self._grads()[1].mm(self.parameters[0]).view_as(self.rows)


def jumps_of(cell: Any) -> type[Jumps] | None:
    """How the jumps of a cell are written out; None where they are not."""
    kinds: dict[type, type[Jumps]] = {SpreadCell: SpreadJumps, nn.GRUCell: GRUJumps}
    return kinds.get(type(cell))
