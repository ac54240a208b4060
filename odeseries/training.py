"""The training loop: small, on one device, with averaged weights and a guarded best state."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from odeseries.errors import ConvergenceWarning
from odeseries.windows import Batch

__all__ = ["Averaged", "Loop", "Record", "Trained", "one_thread"]

MOST_SKIPPED = 20
AVERAGING = 0.97
CLIP_NORM = 1.0

State = dict[str, Tensor]
Record = dict[str, float | int | str]


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread inside: the tensors are small, and waiting threads cost more than they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Trained:
    """What a loop found.

    Attributes
    ----------
    steps : int
        Steps after which the kept weights were taken.
    loss : float
        Validation loss of the kept weights; NaN where nothing was held out.
    records : list of dict
        One entry an epoch.
    skipped : int
        Steps left out because their loss or gradient was not finite.
    """

    steps: int = 0
    loss: float = math.nan
    records: list[Record] = field(default_factory=list)
    skipped: int = 0


class Averaged:
    """Exponential moving average of a network's weights."""

    def __init__(self, net: nn.Module) -> None:
        self.state: State = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.count = 0

    def update(self, net: nn.Module) -> None:
        """Move towards the current weights, faster in the beginning."""
        self.count += 1
        keep = min(AVERAGING, self.count / (self.count + 10))
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - keep)
            else:
                self.state[name].copy_(value)

    def copy(self) -> State:
        """The averaged weights, as tensors of their own."""
        return {k: v.clone() for k, v in self.state.items()}


class Loop:
    """Trains a network on batches.

    Parameters
    ----------
    net : nn.Module
        Trained in place.
    loss : callable
        From a batch to the scalar loss.
    learning_rate : float
        Constant while searching; the peak of the cycle otherwise.
    decay : float
        Decoupled weight decay of matrices.
    description : str
        Shown in the progress bar and kept in the records.
    verbose : bool
        Whether to show a progress bar.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Callable[[Batch], Tensor],
        *,
        learning_rate: float,
        decay: float,
        description: str,
        verbose: bool,
    ) -> None:
        self.net, self.loss, self.description, self.verbose = net, loss, description, verbose
        self.learning_rate = learning_rate
        matrices = [p for p in net.parameters() if p.ndim > 1]
        vectors = [p for p in net.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": decay},
            {"params": vectors},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.0)
        self.averaged = Averaged(net)
        self.trained = Trained()

    def search(
        self,
        epochs: Iterator[Iterator[Batch]],
        validate: Callable[[], float],
        *,
        max_epochs: int,
        patience: int,
    ) -> Trained:
        """Train at a constant rate until the held-out loss stops falling; keep the best weights.

        The averaged weights are validated after every epoch and are what is kept.
        """
        best: State | None = None
        waited = step = 0
        with self._progress(max_epochs, "epoch") as bar:
            try:
                for epoch in range(max_epochs):
                    started = time.perf_counter()
                    losses = [self._step(batch) for batch in next(epochs)]
                    step += len(losses)
                    value = self._validated(validate)
                    self._record(epoch, step, losses, value, started)
                    bar.update()
                    bar.set_postfix_str(f"held-out loss {value:.4f}")
                    waited += 1
                    if math.isfinite(value) and not value >= self.trained.loss:
                        best, waited = self.averaged.copy(), 0
                        self.trained.loss, self.trained.steps = value, step
                    if waited >= patience:
                        break
            except KeyboardInterrupt:
                warnings.warn(
                    "Interrupted: the best weights so far are kept.", ConvergenceWarning, 2
                )
        if best is not None:
            self.net.load_state_dict(best)
        return self.trained

    def cycle(self, epochs: Iterator[Iterator[Batch]], steps: int) -> Trained:
        """Train a fixed number of steps on one rise and fall of the rate; keep the average."""
        done, epoch = 0, 0
        with self._progress(steps, "step") as bar:
            try:
                while done < steps:
                    started = time.perf_counter()
                    losses = []
                    for batch in next(epochs):
                        self._set_rate(done / steps)
                        losses.append(self._step(batch))
                        done += 1
                        bar.update()
                        if done >= steps:
                            break
                    self._record(epoch, done, losses, math.nan, started)
                    bar.set_postfix_str(f"loss {self.trained.records[-1]['loss']:.4f}")
                    epoch += 1
            except KeyboardInterrupt:
                warnings.warn("Interrupted: the average so far is kept.", ConvergenceWarning, 2)
        self.trained.steps = done
        self.net.load_state_dict(self.averaged.copy())
        return self.trained

    def _step(self, batch: Batch) -> float:
        """One step; a loss or gradient that is not finite changes nothing."""
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), CLIP_NORM)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            self._skip()
            return math.nan
        self.optimizer.step()
        self.averaged.update(self.net)
        return value

    def _skip(self) -> None:
        """Count a step left out; warn once when there are many."""
        self.trained.skipped += 1
        if self.trained.skipped == MOST_SKIPPED:
            text = f"{MOST_SKIPPED} steps had a loss that is not finite and were left out; "
            warnings.warn(text + "lower learning_rate.", ConvergenceWarning, 2)

    def _validated(self, validate: Callable[[], float]) -> float:
        """Held-out loss of the averaged weights; training goes on with its own."""
        own = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(self.averaged.state)
        value = validate()
        self.net.load_state_dict(own)
        return value

    def _set_rate(self, share: float) -> None:
        """Rise over the first 30 % of the steps, then fall along a cosine."""
        rise = 0.3
        if share < rise:
            factor = 0.04 + 0.96 * share / rise
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * factor

    def _record(
        self, epoch: int, step: int, losses: list[float], held_out: float, started: float
    ) -> None:
        """Keep plain numbers of an epoch."""
        finite = [x for x in losses if math.isfinite(x)]
        self.trained.records.append(
            {
                "phase": self.description,
                "epoch": epoch,
                "step": step,
                "loss": sum(finite) / len(finite) if finite else math.nan,
                "held_out_loss": held_out,
                "skipped": self.trained.skipped,
                "seconds": time.perf_counter() - started,
            }
        )

    def _progress(self, total: int, unit: str) -> tqdm[None]:
        """A bar, silent unless asked for."""
        return tqdm(total=total, desc=self.description, unit=unit, disable=not self.verbose)
