"""One network trained on one panel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from odeseries.checkpoints import Randomness
from odeseries.control import Control, Record
from odeseries.nets import seeded_weights
from odeseries.panel import Panel
from odeseries.recipe import Build, Fitted, Recipe, Spec, batches, loader_for
from odeseries.sampling import WindowSampler, with_rare
from odeseries.scaling import Scaling
from odeseries.seasonality import calendar_periods, validated_periods
from odeseries.trained import Trained
from odeseries.training import Loop
from odeseries.widths import Calibration
from odeseries.windows import Batch, Windows

__all__ = ["Phase"]

LEAST_STEPS_PER_EPOCH = 10
MOST_PERIODS = 4
FEWEST_AT_START = 1024
"""Windows to begin with, whatever a network may be given: more would only be repeated."""


class Phase:
    """One network trained on one panel, a part of one of ``n_series``."""

    def __init__(
        self,
        panel: Panel,
        scaling: Scaling,
        recipe: Recipe,
        build: Build,
        seed: int,
        rng: np.random.Generator,
        control: Control,
        n_series: int,
    ) -> None:
        started = time.perf_counter()
        self.scaling, self.recipe, self.rng, self.control = scaling, recipe, rng, control
        self.panel, self.sizes = scaling.apply(panel), scaling.sizes(panel)
        periods = _periods(self.panel, recipe)
        self.loader = loader_for(self.panel, periods, recipe, thinned_by=rng)
        n_inputs = 0 if panel.inputs is None else len(panel.inputs.channels)
        gap = _input_gap(self.panel)
        read = recipe.model_encoder_periods
        self.spec = Spec(len(panel.channels), n_inputs, periods, n_series, gap, read)
        self.build = build
        self.sampler = WindowSampler(
            self.panel,
            rng,
            n_queries=recipe.n_queries,
            interpolation=recipe.interpolation,
            backcast=recipe.backcast,
            cutoffs=recipe.model_cutoffs,
        )
        self.renew(seed)
        self.setup_seconds = time.perf_counter() - started

    def renew(self, seed: int) -> None:
        """Begin with a network of other weights."""
        with seeded_weights(seed):
            net = self.build(self.spec)
        self.net = net.to(self.recipe.device)
        self.generator = torch.Generator().manual_seed(seed)
        most = self.net.n_start_windows
        few = with_rare(self.panel, self.sampler.cover(min(most // 2, FEWEST_AT_START)), most)
        self.net.start(list(self._batches(few)))

    @property
    def learns(self) -> bool:
        """Whether the network has anything to be trained."""
        return any(p.requires_grad for p in self.net.parameters())

    def searched(self, validate: Callable[[], float]) -> tuple[Trained, float]:
        """Train until the held-out loss stops falling; also the seconds that it takes once."""
        if not self.learns:
            self.net.eval()
            return Trained(loss=validate(), finished=True), 0.0
        loop = self._loop("choosing the length")
        trained = loop.search(
            self._epochs(),
            validate,
            max_epochs=self.recipe.max_epochs,
            patience=self.recipe.patience,
            tail=self.setup_seconds,
        )
        return trained, loop.validation_seconds

    def cycled(self, description: str, steps: int, tail: float = 0.0) -> Trained:
        """Train a number of steps."""
        if not self.learns:
            self.net.eval()
            return Trained(finished=True)
        return self._loop(description).cycle(self._epochs(), steps, tail=tail)

    def _loop(self, description: str) -> Loop[Batch]:
        return Loop(
            self.net,
            self._loss,
            learning_rate=self.recipe.learning_rate,
            decay=self.recipe.weight_decay,
            description=description,
            verbose=self.recipe.verbose,
            control=self.control,
            randomness=Randomness(self.rng, self.generator),
        )

    def fitted(self, widths: Calibration, records: list[Record], steps: int, loss: float) -> Fitted:
        """The network as it is."""
        return Fitted(self.net, self.spec, self.scaling, widths, records, steps, loss)

    def _loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch whose inputs are jittered."""
        return self.net.loss(
            _jittered(batch, self.recipe.input_noise, self.generator), self.generator
        ).mean()

    def _epochs(self) -> Iterator[Iterator[Batch]]:
        """Endless epochs; in each every observation is a target at least once."""
        size = self.recipe.batch_size
        while True:
            windows = self.sampler.cover(LEAST_STEPS_PER_EPOCH * size)
            yield self._batches(windows)

    def _batches(self, windows: Windows) -> Iterator[Batch]:
        return batches(self.loader, windows, self.recipe.batch_size, self.recipe.device)


def _periods(panel: Panel, recipe: Recipe) -> tuple[float, ...]:
    """Periods in horizons, the given ones or those that were validated, over all channels."""
    if recipe.seasonality is None:
        return ()
    if not isinstance(recipe.seasonality, str):
        return tuple(p / recipe.horizon for p in recipe.seasonality)
    calendar = [p / recipe.horizon for p in calendar_periods()] if recipe.calendar else []
    found: list[float] = []
    for c in range(min(panel.n_targets, 8)):
        series = []
        for i in range(len(panel)):
            times, values = panel.series(i)
            seen = np.isfinite(values[:, c])
            series.append((times[seen] + panel.origins[i], values[seen, c]))
        for period in validated_periods(series, calendar=calendar):
            if all(abs(np.log(period / p)) > 0.03 for p in found):
                found.append(period)
    return tuple(found[:MOST_PERIODS])


def _input_gap(panel: Panel) -> float:
    """Median time between knots of the inputs; infinite where there are none to speak of."""
    if panel.inputs is None:
        return math.inf
    gaps = np.concatenate([np.diff(times) for times, _ in panel.inputs])
    return float(np.median(gaps)) if len(gaps) else math.inf


def _jittered(batch: Batch, noise: float, generator: torch.Generator) -> Batch:
    """The batch with noise on its inputs, in shares of their spread within the window."""
    if noise == 0:
        return batch
    left = batch.left
    total = left.mask.sum(1, keepdim=True).clamp(min=1)
    mean = (left.values * left.mask).sum(1, keepdim=True) / total
    spread = ((left.values - mean) ** 2 * left.mask).sum(1, keepdim=True).div(total).sqrt()
    drawn = torch.randn(left.values.shape, generator=generator).to(left.values)
    values = left.values + noise * spread * drawn * left.mask
    return replace(batch, left=replace(left, values=values))
