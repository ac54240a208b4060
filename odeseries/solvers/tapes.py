"""What is kept of a solve so that some of its steps can be taken again."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from odeseries.solvers.grids import Grid
from odeseries.solvers.pacing import FixedPace
from odeseries.solvers.stepping import Pace, Sink, Step, Verdict

__all__ = ["Block", "Listener", "Replay", "Tape", "Window"]

LEAST_SIZE = 4
"""Steps of a block to begin with."""


@dataclass(frozen=True)
class Block:
    """Successive steps of the same rows.

    Attributes
    ----------
    first, count : int
        Number of the first step among all, and how many there are.
    rows : Tensor of int64, shape (n_rows,)
        Rows of the batch that take part.
    y : Tensor of shape (n_rows, ..., state_dim)
        States before the first step.
    elapsed : Tensor of shape (n_rows,)
        Times there, from the start.
    lengths, afters : Tensor of shape (count, n_rows), or None
        Lengths of the steps, 0 in rows that rejected one, and times at their ends; None where
        they follow from the options.
    keep : Tensor of int64, or None
        Rows that went on after the last step; None for all.
    """

    first: int
    count: int
    rows: Tensor
    y: Tensor
    elapsed: Tensor
    lengths: Tensor | None
    afters: Tensor | None
    keep: Tensor | None

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """All but the numbers, in the order of the attributes."""
        return (self.rows, self.y, self.elapsed, self.lengths, self.afters, self.keep)


@dataclass
class _Open:
    """A block that is being written."""

    first: int
    rows: Tensor
    y: Tensor
    elapsed: Tensor
    count: int = 0
    lengths: list[Tensor] = field(default_factory=list)
    afters: list[Tensor] = field(default_factory=list)
    keep: Tensor | None = None

    def absorb(self, later: _Open) -> None:
        """Go on with the steps of the next block."""
        self.count += later.count
        self.lengths, self.afters = self.lengths + later.lengths, self.afters + later.afters
        self.keep = later.keep

    def closed(self) -> Block:
        """The block as written."""
        lengths, afters = (torch.stack(x) if x else None for x in (self.lengths, self.afters))
        return Block(
            self.first, self.count, self.rows, self.y, self.elapsed, lengths, afters, self.keep
        )


class Listener(Sink):
    """Hears of all steps, beside the sink that takes the states; does nothing by itself."""

    closing = False
    inner: Sink

    def over(self, sink: Sink, pace: Pace) -> Listener:
        """Begin where the pace does, and pass all on to the sink."""
        self.inner, self.closing = sink, self.closing or sink.closing
        self.begin(pace)
        return self

    def record(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Pass a step on."""
        self.inner.record(before, length, after, y, step)
        self.listen(before, length, after, y, step)

    def leave(self, y: Tensor, keep: Tensor) -> None:
        """Let all rows go but those to be kept."""
        self.inner.leave(y, keep)
        self.dismiss(keep)

    def begin(self, pace: Pace) -> None:
        """Hear what decides on the steps."""

    @abstractmethod
    def listen(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Hear of a step."""

    @abstractmethod
    def dismiss(self, keep: Tensor) -> None:
        """Hear of the rows that go on."""


class Tape(Listener):
    """Hears of all steps, and keeps the states before about the square root of their number.

    The steps between two states that are kept are a block. When there are more than twice as
    many blocks as steps in one, each takes up its neighbour, so that neither the blocks nor the
    steps in one are ever many.

    Parameters
    ----------
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    chosen : bool
        Whether the lengths of the steps must be kept, since they were chosen on the way.
    """

    def __init__(self, y0: Tensor, *, chosen: bool) -> None:
        self.y0, self.chosen, self.size, self.count = y0, chosen, LEAST_SIZE, 0
        self.rows = torch.arange(len(y0), device=y0.device)
        self.blocks: list[_Open] = []

    def begin(self, pace: Pace) -> None:
        """Open the first block."""
        self.blocks = [_Open(0, self.rows, self.y0, pace.elapsed)]

    def listen(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Keep what a step needs to be taken again."""
        self._make_room(before, y)
        block = self.blocks[-1]
        block.count += 1
        self.count += 1
        if self.chosen:
            block.lengths.append(torch.where(after > before, length, 0))
            block.afters.append(after)

    def _make_room(self, before: Tensor, y: Tensor) -> None:
        """See that the last block may take a step that starts here."""
        last = self.blocks[-1]
        if last.keep is not None or last.count >= self.size:
            self.blocks.append(_Open(self.count, self.rows, y, before))
        if len(self.blocks) > 2 * self.size:
            self._merge()

    def _merge(self) -> None:
        """Join neighbours, of the same rows, to blocks of twice the size."""
        self.size *= 2
        joined = self.blocks[:1]
        for block in self.blocks[1:]:
            if joined[-1].keep is None and joined[-1].count + block.count <= self.size:
                joined[-1].absorb(block)
            else:
                joined.append(block)
        self.blocks = joined

    def dismiss(self, keep: Tensor) -> None:
        """End the block, since its rows do not go on."""
        self.blocks[-1].keep = keep
        self.rows = self.rows[keep]

    def written(self) -> list[Block]:
        """All blocks, in the order of time."""
        return [block.closed() for block in self.blocks]


class Replay(Pace):
    """Takes the steps of a block again, at the lengths that were chosen.

    Parameters
    ----------
    block : Block
        The steps.
    """

    def __init__(self, block: Block) -> None:
        self.block, self.done, self.elapsed = block, 0, block.elapsed

    def lasts(self) -> bool:
        """Whether there is another step."""
        return self.done < self.block.count

    def closing(self) -> bool:
        """Whether another step follows."""
        return self.done + 1 < self.block.count

    def propose(self) -> Tensor:
        """The length that was chosen."""
        assert self.block.lengths is not None
        return self.block.lengths[self.done]

    def judge(self, y: Tensor, step: Step) -> Verdict:
        """Accept: rows that rejected the step go no way."""
        assert self.block.afters is not None
        self.elapsed = self.block.afters[self.done]
        self.done += 1
        return Verdict(True)

    def put_aside(self) -> Tensor | None:
        """Let the rows go that went after the last step."""
        return None if self.lasts() else self.block.keep


class Window(FixedPace):
    """Some of the steps of one length.

    Parameters
    ----------
    grid : Grid
        The steps of every row.
    block : Block
        Which of them.
    """

    def __init__(self, grid: Grid, block: Block) -> None:
        super().__init__(grid)
        self.total, self.done = block.first + block.count, block.first
        if block.first:
            self.elapsed = self.reached(block.first)
