"""What steers a fit, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odeseries.control import Record
from odeseries.copula import Copula
from odeseries.model import Model
from odeseries.panel import Float64, Panel
from odeseries.scaling import Scaling
from odeseries.widths import Calibration
from odeseries.windows import Batch, Loader, Windows

__all__ = ["Build", "Fitted", "Recipe", "Spec", "batches", "loader_for"]


@dataclass(frozen=True)
class Spec:
    """What a network is built for.

    Attributes
    ----------
    n_channels : int
        Channels that are seen; the targets come first.
    n_inputs : int
        Known inputs.
    periods : tuple of float
        Periods in horizons.
    n_series : int
        Series of the training panel, also of those that are held out at first.
    input_gap : float
        Median time from one known value of the inputs to the next, in horizons; infinite
        without inputs.
    encoder_periods : tuple of float
        Further periods, in horizons, of which only the encoder sees waves.
    """

    n_channels: int
    n_inputs: int
    periods: tuple[float, ...]
    n_series: int
    input_gap: float = math.inf
    encoder_periods: tuple[float, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """Everything that steers a fit beside the network.

    Attributes
    ----------
    horizon : float
        In clock units.
    seasonality : "auto", None or sequence of float
        Periods in clock units.
    calendar : bool
        Whether the clock is one of dates, so that days and years mean something.
    transformer : scikit-learn transformer or None
        Of the targets, not fitted.
    cutoffs : tuple of float, or None
        Times from which forecasts are trained, in clock units since its reference.
    encoder_periods : tuple of float
        Periods, in clock units, of which only the encoder sees waves.
    thinning : float
        Share of the rows seen that are hidden at random in training.
    n_steps : int or None
        Length of the training where nothing is held out.

    Raises
    ------
    ValueError
        If that length is given, and a share is to be held out.
    """

    horizon: float
    seasonality: str | Sequence[float] | None
    calendar: bool
    n_rows: int
    n_lags: int
    n_harmonics: int
    n_queries: int
    interpolation: float
    backcast: float
    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    validation_fraction: float
    input_noise: float
    device: torch.device
    verbose: bool
    transformer: Any = None
    n_members: int = 1
    cutoffs: tuple[float, ...] | None = None
    encoder_periods: tuple[float, ...] = ()
    thinning: float = 0.0
    n_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse two ways to find the length of the training."""
        if self.n_steps is not None and self.validation_fraction > 0:
            raise ValueError(
                f"n_steps={self.n_steps} names the length of the training, which is chosen on what "
                f"validation_fraction={self.validation_fraction} holds out: set "
                "validation_fraction=0, or leave n_steps out."
            )

    @property
    def model_cutoffs(self) -> Float64 | None:
        """The cutoffs in horizons."""
        return None if self.cutoffs is None else np.array(self.cutoffs) / self.horizon

    @property
    def model_encoder_periods(self) -> tuple[float, ...]:
        """The periods that only the encoder sees, in horizons."""
        return tuple(p / self.horizon for p in self.encoder_periods)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network with what it was built for and the units that it was trained in.

    Attributes
    ----------
    others : tuple of Model
        Further members of an ensemble, trained alike from other weights and batches.
    copula : Copula or None
        Dependence of the errors of the held-out forecasts, if there were some.
    """

    net: Model
    spec: Spec
    scaling: Scaling
    widths: Calibration
    records: list[Record]
    best_steps: int
    held_out_loss: float
    interrupted: bool = False
    others: tuple[Model, ...] = ()
    copula: Copula | None = None

    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the members' quantiles, and ages; see `Model.quantiles`."""
        first, ages = self.net.quantiles(batch, levels)
        if not self.others:
            return first, ages
        rest = [net.quantiles(batch, levels)[0] for net in self.others]
        return torch.stack([first, *rest]).mean(0), ages

    def paths(self, batch: Batch, keys: Tensor, n_paths: int) -> Tensor:
        """Mean of the members' paths, which share their randomness; see `Model.paths`."""
        drawn = [net.paths(batch, keys, n_paths) for net in (self.net, *self.others)]
        return torch.stack(drawn).mean(0)

    def loader(self, panel: Panel, recipe: Recipe, inputs: Float64 | None = None) -> Loader:
        """Cuts batches from a panel in clock units, asked with inputs in the data's units."""
        known = None if inputs is None else self.scaling.standard_inputs(inputs)
        return loader_for(self.scaling.apply(panel), self.spec.periods, recipe, known)


Build = Callable[[Spec], Model]


def loader_for(
    panel: Panel,
    periods: Sequence[float],
    recipe: Recipe,
    inputs: Float64 | None = None,
    thinned_by: np.random.Generator | None = None,
) -> Loader:
    """Cuts windows of a panel in model units, with inputs of its own or given ones.

    Rows are hidden, as the recipe has it, if there is something that chooses them.
    """
    return Loader(
        panel,
        periods,
        inputs=inputs,
        n_rows=recipe.n_rows,
        n_lags=recipe.n_lags,
        n_harmonics=recipe.n_harmonics,
        encoder_periods=recipe.model_encoder_periods,
        thinning=recipe.thinning,
        rng=thinned_by,
    )


def batches(loader: Loader, windows: Windows, size: int, device: torch.device) -> Iterator[Batch]:
    """Batches of at most ``size`` windows."""
    for start in range(0, len(windows), size):
        chosen = np.arange(start, min(start + size, len(windows)))
        yield loader.batch(windows.take(chosen)).to(device)
