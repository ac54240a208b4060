"""What a recurrent state goes through at a row, for autograd and written out over all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from odeseries.nets import Perceptron
from odeseries.stacked import WINDOW, Layers, Weights

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
    states : Tensor of shape (n_rows + 1, batch, hidden)
        Where the state before a jump is when it is asked for, and behind that the one after it
        is put.
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
        states: Tensor,
        stacks: Sequence[Tensor],
    ) -> None: ...

    @abstractmethod
    def begin(self) -> None:
        """Begin to jump."""

    @abstractmethod
    def jump(self, i: int) -> None:
        """Put the state after a row."""

    @abstractmethod
    def begin_back(self, *, at_rows: bool) -> None:
        """Begin the way back, from the last row; to the rows too if that is asked for."""

    @abstractmethod
    def back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that at the state before."""

    @abstractmethod
    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all rows."""

    @abstractmethod
    def at_rows(self) -> Tensor:
        """Gradient at the rows, (n_rows, batch, n_features), after ``sums``."""


class SpreadJumps(Jumps):
    """Those of a ``SpreadCell``."""

    @staticmethod
    def stacks(parameters: Sequence[Tensor], rows: Tensor, hidden: int) -> list[Tensor]:
        """Layers of gates and candidate, reset states, signs of the candidate's spread."""
        count, batch, _ = rows.shape
        gates = Layers.stacks(parameters[:4], count, batch)
        candidate = Layers.stacks(parameters[4:], count, batch)
        reset = rows.new_empty(count, batch, hidden)
        return [*gates, *candidate, reset, rows.new_empty(count, batch, hidden // 2)]

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rows: Tensor,
        states: Tensor,
        stacks: Sequence[Tensor],
    ) -> None:
        *layers, reset, self.signs = stacks
        self.rows, self.parameters = rows, parameters
        gates, candidate = (Weights(p, states.shape[-1]) for p in (parameters[:4], parameters[4:]))
        self.gates = Layers(gates, states[:-1], layers[:2], rows)
        self.candidate = Layers(candidate, reset, layers[2:], rows)
        self.states, self.after_reset, self.new = map(halves, (states, reset, layers[3]))
        self.update, self.reset = halves(layers[1])[..., None, :].unbind(-3)

    def begin(self) -> None:
        """Begin to jump."""
        self.gates.begin()
        self.candidate.begin()
        before, after, spreads = self.states[:-1], self.states[1:], self.new[:, :, 1]
        parts = (before, after, self.after_reset, self.reset, self.update, self.new, spreads)
        self.views = _by_row(*parts, self.signs)

    def jump(self, i: int) -> None:
        """Put the state after a row."""
        before, after, after_reset, reset, update, new, spread, sign = self.views[i]
        self.gates.evaluate(i).sigmoid_()
        torch.mul(before, reset, out=after_reset)
        self.candidate.evaluate(i)
        torch.sign(spread, out=sign)
        spread.abs_()
        torch.lerp(new, before, update, out=after)

    def begin_back(self, *, at_rows: bool) -> None:
        """Begin the way back."""
        self.gates.begin_back(at_known=at_rows)
        self.candidate.begin_back(at_known=at_rows)
        self.low = len(self.rows)
        _, batch, both, dim = self.states.shape
        self.room = self.rows.new_empty(5, min(WINDOW, self.low), batch, both * dim)
        self.factors = _by_row(*self.room)
        parts = self.rows.new_empty(batch, both, 2, dim)
        self.at_gates = [part.view(batch, both * dim) for part in parts.unbind(1)]
        self.of_parts, self.shape = parts.unbind(2), (batch, both, dim)

    def _open(self, i: int) -> None:
        """Take all factors of some rows at once."""
        self.low = max(0, i + 1 - WINDOW)
        part = slice(self.low, i + 1)
        at_update, at_new, at_reset, update, reset = self.room[:, : i + 1 - self.low].unbind()
        before, new = self.states[part].flatten(2), self.new[part].flatten(2)
        torch.cat([self.update[part, :, 0]] * 2, -1, out=update)
        torch.cat([self.reset[part, :, 0]] * 2, -1, out=reset)
        torch.sub(1, update, out=at_new)
        torch.sub(before, new, out=at_update).mul_(at_new).mul_(update)
        at_new.chunk(2, -1)[1].mul_(self.signs[part])
        torch.addcmul(reset, reset, reset, value=-1, out=at_reset).mul_(before)

    def back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that at the state before."""
        if i < self.low:
            self._open(i)
        at_update, at_new, at_reset, update, reset = self.factors[i - self.low]
        back = self.candidate.back(i, torch.mul(grad, at_new, out=self.candidate.place(i)))
        torch.mul(grad, at_update, out=self.at_gates[0])
        torch.mul(back, at_reset, out=self.at_gates[1])
        gates = self.gates.place(i)
        torch.add(*self.of_parts, out=gates.view(self.shape))
        return self.gates.back(i, gates, onto=(grad * update).addcmul_(back, reset))

    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all rows."""
        return [*self.gates.sums(), *self.candidate.sums()]

    def at_rows(self) -> Tensor:
        """Gradient at the rows, (n_rows, batch, n_features)."""
        return self.gates.gradient_at_known() + self.candidate.gradient_at_known()


class GRUJumps(Jumps):
    """Those of torch's ``GRUCell``, with the state's part of the candidate reset."""

    @staticmethod
    def stacks(parameters: Sequence[Tensor], rows: Tensor, hidden: int) -> list[Tensor]:
        """Gates, the state's and the rows' part of the candidate; the latter becomes the result."""
        weight, _, bias, state_bias = parameters
        known = torch.addmm(bias, rows.flatten(0, 1), weight.t()).view(*rows.shape[:2], -1)
        gates = known[..., : 2 * hidden] + state_bias[: 2 * hidden]
        # A copy, since it is written to: of one row, `expand` and `contiguous` make none.
        turned = state_bias[2 * hidden :].repeat(*rows.shape[:2], 1)
        return [gates, turned, known[..., 2 * hidden :].contiguous()]

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rows: Tensor,
        states: Tensor,
        stacks: Sequence[Tensor],
    ) -> None:
        self.rows, self.parameters, self.kept = rows, parameters, stacks
        self.before, self.after = states[:-1], states[1:]
        self.weights = parameters[1].tensor_split([2 * states.shape[-1]])
        self.reset, self.update = stacks[0].chunk(2, -1)

    def begin(self) -> None:
        """Begin to jump."""
        self.turned = [weight.t() for weight in self.weights]
        parts = (self.before, self.after, *self.kept, self.reset, self.update)
        self.views = _by_row(*parts)

    def jump(self, i: int) -> None:
        """Put the state after a row."""
        before, after, gates, turned, new, reset, update = self.views[i]
        gates.addmm_(before, self.turned[0]).sigmoid_()
        turned.addmm_(before, self.turned[1])
        new.addcmul_(reset, turned).tanh_()
        torch.lerp(new, before, update, out=after)

    def begin_back(self, *, at_rows: bool) -> None:
        """Take all factors at once."""
        del at_rows
        _, turned, new = self.kept
        at_new = (1 - self.update) * (1 - new * new)
        at_update = (self.before - new) * (self.update * (1 - self.update))
        at_reset = turned * (self.reset * (1 - self.reset))
        self.factors = _by_row(at_new, at_update, at_reset, self.reset, self.update)
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


def _by_row(*stacks: Tensor) -> list[tuple[Tensor, ...]]:
    """For every row its part of every stack."""
    return list(zip(*(stack.unbind() for stack in stacks), strict=True))


def jumps_of(cell: Any) -> type[Jumps] | None:
    """How the jumps of a cell are written out; None where they are not."""
    kinds: dict[type, type[Jumps]] = {SpreadCell: SpreadJumps, nn.GRUCell: GRUJumps}
    return kinds.get(type(cell))
