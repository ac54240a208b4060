"""The training loop: small, on one device, with averaged weights and a guarded best state."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from odeseries.adamw import AdamW
from odeseries.averaging import AVERAGING, Averaged, State
from odeseries.checkpoints import Randomness
from odeseries.control import Control, Pace, Record, Share
from odeseries.errors import ConvergenceWarning, IntegrationError, OdeSeriesError
from odeseries.trained import Trained

__all__ = ["Loop", "one_thread", "shuffled"]

MOST_SKIPPED = 20
CLIP_NORM = 1.0

B = TypeVar("B")
"""What the loss takes for one batch."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread inside: the tensors are small, and waiting threads cost more than they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def shuffled(n: int, size: int, rng: np.random.Generator, device: torch.device) -> Iterator[Tensor]:
    """Positions of n rows in random order, in parts of nearly equal size, none above ``size``."""
    order = torch.from_numpy(rng.permutation(n)).to(device)
    yield from order.tensor_split(-(-n // size))


def _norm(grads: list[Tensor]) -> float:
    """Euclidean norm of all together, which are copied into one: cheaper than one norm each."""
    if not grads:
        return 0.0
    return float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads])))


class Loop(Generic[B]):
    """Trains a network on batches.

    Ctrl-C ends the loop and keeps the best weights so far. Where the control has a store, the
    state is written after every epoch, and a new loop of the same description goes on from it.

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
    control : Control
        Time, callbacks and checkpoints.
    randomness : Randomness
        What batches and losses draw from; restored with the rest.
    refits : bool, default=True
        Whether training as long again follows a search, which then leaves time for it.
    averaging : float
        Share of the averaged weights that a step keeps.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Callable[[B], Tensor],
        *,
        learning_rate: float,
        decay: float,
        description: str,
        verbose: bool,
        control: Control,
        randomness: Randomness,
        refits: bool = True,
        averaging: float = AVERAGING,
    ) -> None:
        self.net, self.loss, self.description, self.verbose = net, loss, description, verbose
        self.learning_rate, self.control, self.randomness = learning_rate, control, randomness
        self.refits = refits
        self._parameters = list(net.parameters())
        self.optimizer = AdamW(self._parameters, learning_rate, decay)
        self.averaged = Averaged(net, averaging)
        self.best: State | None = None
        self.trained = Trained()
        self.validation_seconds = 0.0
        self._pace = Pace()
        self._cause: IntegrationError | None = None

    def search(
        self,
        epochs: Iterator[Iterator[B]],
        validate: Callable[[], float],
        *,
        max_epochs: int,
        patience: int,
        tail: float = 0.0,
        least_gain: float = 0.0,
    ) -> Trained:
        """Train at a constant rate until the held-out loss stops falling; keep the best weights.

        The averaged weights are validated after every epoch and are what is kept. With a limit
        on time the search ends as soon as what is left is needed to train as long again.

        Parameters
        ----------
        epochs : iterator of iterators of batches
            Endless.
        validate : callable
            Held-out loss of the network as it is.
        max_epochs, patience : int
            Most epochs, and most of them without a better held-out loss.
        tail : float
            Seconds that will be needed afterwards beside training and validation.
        least_gain : float
            The held-out loss must have fallen by more than this for the waiting to begin anew.

        Raises
        ------
        OdeSeriesError
            If no step of an epoch had a finite loss, and none before.
        """
        trained = self._resumed()
        with self._progress(max_epochs, "epoch", trained.epoch) as bar, self._interruptible():
            while not trained.finished and trained.epoch < max_epochs:
                started = time.perf_counter()
                losses = self._search_epoch(next(epochs), tail)
                value = self._validated(validate)
                self._judge(value, least_gain)
                bar.update()
                bar.set_postfix_str(f"held-out loss {value:.4f}")
                wanted = self._epoch_ends(losses, value, started)
                stuck = self._is_stuck(losses)
                over = trained.waited >= patience or self._is_short(tail)
                trained.finished = wanted or stuck or over
            trained.finished = True
            self._save()
        if self.best is None:
            self._keep_unjudged()
        else:
            self._keep(self.best)
        return trained

    def cycle(self, epochs: Iterator[Iterator[B]], steps: int, *, tail: float = 0.0) -> Trained:
        """Train a fixed number of steps on one rise and fall of the rate; keep the average.

        Where time is too short for all steps, the rate rises and falls in the time that there
        is.

        Parameters
        ----------
        epochs : iterator of iterators of batches
            Endless.
        steps : int
            Number of steps.
        tail : float
            Seconds that will be needed afterwards.

        Raises
        ------
        OdeSeriesError
            If no step of an epoch had a finite loss, and none before.
        """
        trained = self._resumed()
        share = Share(self.control.budget, steps, tail)
        with self._progress(steps, "step", trained.step) as bar, self._interruptible():
            while not trained.finished and trained.step < steps:
                started = time.perf_counter()
                losses = self._cycle_epoch(next(epochs), share, bar)
                wanted = self._epoch_ends(losses, math.nan, started)
                bar.set_postfix_str(f"loss {trained.records[-1]['loss']:.4f}")
                trained.finished = wanted or self._is_stuck(losses) or share(trained.step) >= 1
            trained.finished = True
            self._save()
        trained.steps = trained.step
        self._keep(self.averaged.copy())
        return trained

    def epoch(self, batches: Iterator[B]) -> Trained:
        """Train for one more epoch at a constant rate, without taking the average over.

        Parameters
        ----------
        batches : iterator of batches
            One epoch.

        Raises
        ------
        OdeSeriesError
            If no step had a finite loss, and none before.
        """
        started = time.perf_counter()
        self.net.train()
        with self._interruptible():
            losses = [self._step(batch) for batch in batches]
            self._epoch_ends(losses, math.nan, started)
            self._is_stuck(losses)
        return self.trained

    def settle(self) -> None:
        """Let the network have the averaged weights."""
        self._keep(self.averaged.copy())

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors and plain values."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state(),
            "averaged": self.averaged.state,
            "count": self.averaged.count,
            "best": self.best,
            "trained": asdict(self.trained),
            "random": self.randomness.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that was kept."""
        self.net.load_state_dict(state["net"])
        self.optimizer.restore(state["optimizer"])
        self.averaged.restore(state["averaged"], state["count"])
        self.best = state["best"]
        self.trained = Trained(**state["trained"])
        self.randomness.restore(state["random"])

    def _search_epoch(self, batches: Iterator[B], tail: float) -> list[float]:
        """Losses of the steps of an epoch, which ends early when time is short."""
        losses = []
        for batch in batches:
            losses.append(self._step(batch))
            if self._is_short(tail):
                break
        return losses

    def _cycle_epoch(self, batches: Iterator[B], share: Share, bar: tqdm[None]) -> list[float]:
        """Losses of the steps of an epoch, which ends with the last step."""
        losses = []
        for batch in batches:
            self._set_rate(share(self.trained.step))
            losses.append(self._step(batch))
            bar.update()
            if share(self.trained.step) >= 1:
                break
        return losses

    def _step(self, batch: B) -> float:
        """One step; a loss or gradient that is not finite changes nothing."""
        with self._pace:
            self.trained.step += 1
            for parameter in self._parameters:
                parameter.grad = None
            value = self._backward(batch)
            grads = [p.grad for p in self._parameters if p.grad is not None]
            norm = _norm(grads)
            if not (math.isfinite(value) and math.isfinite(norm)):
                self._skip()
                return math.nan
            if norm > CLIP_NORM:
                torch._foreach_mul_(grads, CLIP_NORM / norm)
            self.optimizer.step()
            self.averaged.update()
            return value

    def _backward(self, batch: B) -> float:
        """The loss of a batch, with its gradients; NaN where the integration failed."""
        try:
            loss = self.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        except IntegrationError as error:
            self._cause = error
            return math.nan
        return float(loss.detach())

    def _skip(self) -> None:
        """Count a step left out; warn once when there are many."""
        self.trained.skipped += 1
        if self.trained.skipped == MOST_SKIPPED:
            text = f"{MOST_SKIPPED} steps had a loss that is not finite and were left out; "
            warnings.warn(text + "lower learning_rate.", ConvergenceWarning, 2)

    def _is_stuck(self, losses: list[float]) -> bool:
        """Whether every step of an epoch was left out: more of them would change nothing."""
        if any(math.isfinite(x) for x in losses):
            return False
        text = (
            f"None of the {len(losses)} steps of epoch {self.trained.epoch - 1} "
            f"({self.description}) had a finite loss"
        )
        cure = "Lower learning_rate, look for extreme values in the data, or try another solver."
        if self._cause is not None:
            cure = f"The integration failed: {self._cause} {cure}"
        if self.averaged.count == 0:
            raise OdeSeriesError(f"{text}, so that nothing was learnt. {cure}") from self._cause
        warnings.warn(f"{text}: the best weights so far are kept. {cure}", ConvergenceWarning, 3)
        return True

    def _validated(self, validate: Callable[[], float]) -> float:
        """Held-out loss of the averaged weights; training goes on with its own."""
        started = time.perf_counter()
        own = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(self.averaged.state)
        self.net.eval()
        try:
            return validate()
        except IntegrationError:
            return math.nan
        finally:
            self.net.load_state_dict(own)
            self.net.train()
            self.validation_seconds = time.perf_counter() - started

    def _judge(self, value: float, least_gain: float) -> None:
        """Keep the averaged weights if they are the best so far; what is not finite never is."""
        self.trained.waited += 1
        if math.isfinite(value) and not value >= self.trained.loss:
            self.best = self.averaged.copy()
            self.trained.loss, self.trained.steps = value, self.trained.step
            if not value >= self.trained.mark - least_gain:
                self.trained.mark, self.trained.waited = value, 0

    def _keep_unjudged(self) -> None:
        """Keep the average, where no held-out loss was finite or none was taken."""
        self.trained.steps = self.trained.step
        self._keep(self.averaged.copy())
        if self.trained.epoch:
            warnings.warn(
                f"None of the {self.trained.epoch} held-out losses was finite, so that the length "
                "of the training was not chosen by them: look for extreme values at the end of "
                "the series.",
                ConvergenceWarning,
                3,
            )

    def _keep(self, state: State) -> None:
        """End with these weights, ready to forecast."""
        self.net.load_state_dict(state)
        self.net.eval()

    def _is_short(self, tail: float) -> bool:
        """Whether all the time left is needed: for a step, or to train as long again as so far."""
        again = (self.trained.steps or self.trained.step) if self.refits else 1
        needed = tail + 2 * self.validation_seconds + again * self._pace.seconds()
        return self.control.budget.left() <= needed

    def _set_rate(self, share: float) -> None:
        """Rise over the first 30 % of the steps, then fall along a cosine."""
        rise = 0.3
        if share < rise:
            factor = 0.04 + 0.96 * share / rise
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))
        self.optimizer.rate = self.learning_rate * factor

    def _epoch_ends(self, losses: list[float], held_out: float, started: float) -> bool:
        """Keep plain numbers of an epoch and the state; whether a callback ends the phase."""
        finite = [x for x in losses if math.isfinite(x)]
        record: Record = {
            "phase": self.description,
            "epoch": self.trained.epoch,
            "step": self.trained.step,
            "loss": sum(finite) / len(finite) if finite else math.nan,
            "held_out_loss": held_out,
            "skipped": self.trained.skipped,
            "seconds": time.perf_counter() - started,
        }
        self.trained.records.append(record)
        self.trained.epoch += 1
        self._save()
        return self.control.wants_end(record)

    def _save(self) -> None:
        """Write the state where it is to be kept."""
        if self.control.store is not None:
            self.control.store.write(self.description, self.state())

    def _resumed(self) -> Trained:
        """Go on from the last state written, if there is one."""
        store = self.control.store
        state = None if store is None else store.read(self.description)
        if store is None or state is None:
            return self.trained
        try:
            self.restore(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise OdeSeriesError(
                f"The progress of {self.description!r} in {store.folder} is that of another "
                "network: delete this folder and fit again."
            ) from error
        return self.trained

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C ends what is inside."""
        try:
            yield
        except KeyboardInterrupt:
            self.trained.interrupted = True

    def _progress(self, total: int, unit: str, done: int) -> tqdm[None]:
        """A bar, silent unless asked for."""
        return tqdm(
            total=total, initial=done, desc=self.description, unit=unit, disable=not self.verbose
        )
