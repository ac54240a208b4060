"""Laws of what a network is asked, and of how wide its intervals are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import odeseries as ode
from odeseries.widths import Calibration, Widths
from odeseries.windows import Batch

pytestmark = pytest.mark.usefixtures("few_windows")

BRIEF: dict[str, Any] = {"seasonality": None, "validation_fraction": 0, "n_steps": 1}


class Told(ode.Model):
    """Normal quantiles about a place, of a spread, that follow from a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def start(self, batches: Sequence[Batch]) -> None:
        """Nothing is learnt."""

    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """The same whatever the weight is."""
        return (batch.targets * 0 * self.unused).sum((1, 2))

    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Of every channel alike; the age is the lead."""
        lead = batch.left.lead.to(levels)[..., None].expand_as(batch.targets)
        place, spread = (x.to(levels)[..., None] for x in self.told(batch, lead))
        return place + spread * torch.special.ndtri(levels), lead

    def told(self, batch: Batch, lead: Tensor) -> tuple[Tensor, Tensor]:
        """Place and spread, standardised."""
        raise NotImplementedError


class Leads(Told):
    """Tells how far behind the last row the query is, and the last row behind that before."""

    def told(self, batch: Batch, lead: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of both."""
        gap = batch.left.at_anchor(batch.left.gaps[..., None])
        return lead + gap.to(lead)[:, None], torch.ones_like(lead)


class Shy(Told):
    """Its intervals are right ahead, and a third as wide as they should be between rows."""

    def told(self, batch: Batch, lead: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised values are told from nothing."""
        between = batch.left.present
        between = between & (False if batch.right is None else batch.right.present)
        spread = torch.where(between, 1 / 3, 1.0)[:, None, None].expand_as(lead)
        return torch.zeros_like(lead), spread


class Forecaster(ode.BaseForecaster):
    """Around a network that is named."""

    told: Any = None

    def build(self, spec: ode.Spec) -> ode.Model:
        """Of no parameters."""
        return self.told()


def noise(n: int) -> pd.Series:
    """White noise at irregular times."""
    rng = np.random.default_rng(0)
    return pd.Series(rng.standard_normal(n), index=np.sort(rng.uniform(0, n / 10, n)))


def width(model: ode.BaseForecaster, times: Any) -> np.ndarray:
    """Of the 90 % intervals."""
    low, high = model.predict_interval(times).to_numpy().T
    return high - low


def widened(model: ode.BaseForecaster, widths: Calibration) -> ode.BaseForecaster:
    """Another forecaster that learnt the same, but for its widths."""
    fitted = replace(model._learnt.fitted, widths=widths)
    return Forecaster()._adopt(replace(model._learnt, fitted=fitted))


def test_a_network_is_asked_for_the_very_times() -> None:
    """Differences of a hundred thousandth of a horizon between times are those that it sees."""
    times = np.array([0.0, 1.0, 1.00021, 1.00034])
    y = pd.Series([0.0, 2.0, 1.0, 3.0], index=times)
    model = Forecaster(10.0, told=Leads, **BRIEF).fit(y)
    ahead = np.array([1.00034, 1.00035, 1.0007, 3.0])
    seen = (model.predict(ahead) - y.mean()) / y.std(ddof=0)
    np.testing.assert_allclose(10 * seen, ahead - 1.00034 + 0.00013, rtol=1e-4)


def test_every_row_of_a_batch_is_as_wide_as_its_own_age_asks_for() -> None:
    """Near and far ones, between and behind all rows, and alone as together."""
    y = noise(50)
    plain = widened(Forecaster(2.0, told=Shy, **BRIEF).fit(y), Calibration())
    growing = Widths((0.0, 1.0), (1.0, 3.0))
    model = widened(plain, Calibration(ahead=growing, between=growing))
    leads = np.array([0.5 * (y.index[1] - y.index[0]), 0.1, 0.9, 1.0, 1.9])
    times = leads + y.index[[0, -1, -1, -1, -1]]
    np.testing.assert_allclose(width(model, times) / width(plain, times), 1 + leads, rtol=1e-5)
    alone = [width(model, [time]).item() for time in times]
    np.testing.assert_allclose(width(model, times), alone, rtol=1e-12)


def test_each_kind_of_row_has_widths_of_its_own() -> None:
    """Rows ahead of what is seen, between it and before it, in one request."""
    plain = widened(Forecaster(2.0, told=Shy, **BRIEF).fit(noise(50)), Calibration())
    kinds = [Widths(factors=(factor,)) for factor in (1.5, 2.0, 3.0)]
    model = widened(plain, Calibration(*kinds))
    times = [6.0, 2.0, -1.0, 7.0]
    factors = width(model, times) / width(plain, times)
    np.testing.assert_allclose(factors, [1.5, 2.0, 3.0, 1.5], rtol=1e-12)


def test_intervals_between_rows_are_widened_until_they_cover() -> None:
    """A network that is too sure between rows, but not ahead, is mended there alone."""
    y = noise(400)
    model = Forecaster(5.0, told=Shy, seasonality=None, max_epochs=1, random_state=0).fit(y)
    ahead, between = width(model, [42.0, 20.0])
    assert ahead == pytest.approx(2 * 1.645 * y.std(), rel=0.25)
    assert between == pytest.approx(2 * 1.645 * y.std(), rel=0.25)
