"""Laws of the latent SDE: its bound, its forecasts and paths, and what goes with what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.dynamics import SDE, Disturbed
from odeseries.forecasters.evidence import Evidence
from odeseries.forecasters.posteriors import Gaussian, Given, Matched, Posterior, Simulated
from odeseries.interfaces import Dynamics
from tests.test_path_laws import OrnsteinUhlenbeck

pytestmark = pytest.mark.usefixtures("few_windows")

QUICK: dict[str, Any] = {
    "latent_dim": 2,
    "hidden": 8,
    "n_paths": 16,
    "max_epochs": 1,
    "batch_size": 32,
    "n_rows": 6,
    "solver_params": {"step": 0.25},
    "random_state": 0,
}
TRAININGS = ["matching", "solver"]
RATE, SIZE, NOISE = 0.5, 0.8, 0.2


def walks(n_series: int = 4, n_obs: int = 30) -> pd.DataFrame:
    """Brownian motions, observed at random times up to 10."""
    rng = np.random.default_rng(0)
    parts = {}
    for i in range(n_series):
        times = np.sort(rng.uniform(0, 10, n_obs))
        steps = rng.standard_normal((n_obs, 2)) * np.sqrt(np.diff(times, prepend=0))[:, None]
        parts[i] = pd.DataFrame(steps.cumsum(0), index=times, columns=["u", "v"])
    return pd.concat(parts, names=["id", "t"])


def rows(name: int, times: list[float]) -> pd.MultiIndex:
    """Rows to be asked of one series."""
    return pd.MultiIndex.from_product([[name], times], names=["id", "t"])


@pytest.fixture(scope="module")
def model() -> ode.LatentSDEForecaster:
    """Fitted on walks, long enough to know how fast they spread."""
    changes = {"max_epochs": 12, "batch_size": 32, "kl_warmup": 10, "learning_rate": 0.01}
    params = {**QUICK, "n_paths": 128, **changes}
    return ode.LatentSDEForecaster(2.0, **params).fit(walks(12))


def posterior(kind: str) -> Posterior:
    """An untrained one of one channel and coordinate."""
    torch.manual_seed(0)
    if kind == "matching":
        return Matched(1, 1, 16)
    return Simulated(1, 1, 16, "euler_maruyama", {"step": 0.05})


def given(n_rows: int) -> Given:
    """Noisy observations of one path of an Ornstein-Uhlenbeck process, in equal rows."""
    times = torch.tensor([0.3, 0.5, 1.1, 1.6])
    values = torch.tensor([0.9, 0.4, -0.2, 0.3])
    shape = (n_rows, 4)
    seen = torch.ones(*shape, 1, dtype=torch.bool)
    evidence = Evidence.sorted(times.expand(shape), values.expand(shape)[..., None], seen)
    start = Gaussian(torch.full((n_rows, 1), 0.5), torch.full((n_rows, 1), math.log(0.3)))
    return Given(OrnsteinUhlenbeck(RATE, SIZE), start, evidence, evidence.values)


def exact_log_likelihood(case: Given) -> float:
    """By the Kalman filter."""
    mean, variance = 0.5, 0.3**2
    total, now = 0.0, 0.0
    for time, value in zip(case.evidence.times[0], case.evidence.values[0, :, 0], strict=True):
        keep = math.exp(-RATE * (float(time) - now))
        mean, now = keep * mean, float(time)
        variance = keep**2 * variance + SIZE**2 / (2 * RATE) * (1 - keep**2)
        spread = variance + NOISE**2
        error = float(value) - mean
        total -= 0.5 * (error**2 / spread + math.log(2 * math.pi * spread))
        gain = variance / spread
        mean, variance = mean + gain * error, (1 - gain) * variance
    return total


def bound(net: Posterior, case: Given, seed: int) -> torch.Tensor:
    """Lower bound of the log-likelihood, one estimate a row."""
    n_rows = len(case.guess)
    keys = torch.arange(seed * n_rows, (seed + 1) * n_rows)
    found = net.infer(case, keys)
    score = (case.evidence.values - found.states) / NOISE
    fit = -0.5 * score**2 - math.log(NOISE) - 0.5 * math.log(2 * math.pi)
    return fit.sum((1, 2)) - found.of_start - found.of_path


@pytest.mark.parametrize(("kind", "n_steps", "gap"), [("matching", 100, 0.5), ("solver", 40, 2.5)])
def test_the_bound_is_below_the_likelihood_and_comes_near_it(
    kind: str, n_steps: int, gap: float
) -> None:
    """The simulated posterior begins as the prior, more than 6 nats away, and learns slowly."""
    net, case = posterior(kind), given(32)
    exact = exact_log_likelihood(case)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(n_steps):
        loss = -bound(net, case, step).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = torch.cat([bound(net, case, 1000 + k) for k in range(8)])
    error = float(found.std()) / math.sqrt(len(found))
    assert float(found.mean()) < exact + 3 * error
    assert float(found.mean()) > exact - gap - 3 * error


def test_an_untrained_simulated_posterior_is_the_prior() -> None:
    """Nothing diverges, neither at the start nor on the path."""
    found = posterior("solver").infer(given(5), torch.arange(5))
    assert torch.equal(found.of_start, torch.zeros(5))
    assert torch.equal(found.of_path, torch.zeros(5))


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_row_is_inferred_as_if_alone(kind: str) -> None:
    """With more padding than its own, and with its own randomness."""
    net, case = posterior(kind), given(3)
    longer = torch.tensor([2.0, 2.5]).expand(3, 2)
    seen = torch.tensor([False, False, True])[:, None, None].expand(3, 2, 1)
    values = torch.ones(3, 2, 1) * seen
    more = Evidence.sorted(
        torch.cat([case.evidence.times, longer], 1),
        torch.cat([case.evidence.values, values], 1),
        torch.cat([case.evidence.seen, seen], 1),
    )
    other = Given(case.prior, case.start, more, more.values)
    keys = torch.tensor([7, 8, 9])
    a, b = net.infer(case, keys), net.infer(other, keys)
    torch.testing.assert_close(a.states[:2], b.states[:2, :4])
    torch.testing.assert_close(a.of_start[:2], b.of_start[:2])
    assert bool((a.of_start[2] - b.of_start[2]).abs() < 10)


@pytest.mark.parametrize("kind", TRAININGS)
def test_paths_between_observations(kind: str) -> None:
    """Of the drawn paths nearby times are close, and far ones less so."""
    net, case = posterior(kind), given(1)
    times = torch.tensor([[0.7, 0.701, 1.0]])
    with torch.no_grad():
        paths = net.draw(case, times, torch.tensor([3]), 400, joint=True)[0, ..., 0]
    near, far = (torch.corrcoef(paths[[0, k]])[0, 1] for k in (1, 2))
    assert float(near) > 0.98
    assert float(far) < 0.9


def test_evidence_is_sorted_and_thinned() -> None:
    """Unobserved and nearly simultaneous times are left out; padding repeats the last time."""
    found = Evidence.sorted(
        torch.tensor([[0.5, 0.2, 0.20001, 0.9], [0.1, 0.2, 0.3, 0.4]]),
        torch.arange(8.0).reshape(2, 4, 1),
        torch.tensor([[True, True, True, True], [False, True, False, False]])[..., None],
    )
    assert found.count.tolist() == [3, 1]
    torch.testing.assert_close(found.times, torch.tensor([[0.2, 0.5, 0.9], [0.2, 0.2, 0.2]]))
    assert found.values[..., 0].tolist() == [[1, 0, 3], [5, 0, 0]]
    assert found.knots().shape == (2, 4)


def test_intervals_widen_with_lead_time(model: ode.LatentSDEForecaster) -> None:
    """Like those of a walk: all the time, and about as the root."""
    end = float(walks(12).loc[0].index[-1])
    leads = [0.05, 0.2, 0.8, 1.6]
    found = model.predict_interval(rows(0, [end + x for x in leads]), coverage=0.8)
    wide = found["u", 0.8, "upper"] - found["u", 0.8, "lower"]
    assert (wide.diff().dropna() > 0).all()
    assert 2 < wide.iloc[3] / wide.iloc[0] < 12


@pytest.mark.parametrize("dynamics", ["sde", "mlp"])
def test_series_of_one_row_may_come_to_differ_within_a_horizon(dynamics: str) -> None:
    """As far as one from another, since nothing tells how fast they change; a constant stays."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_arrays([np.arange(40), rng.uniform(0, 9, 40)], names=["id", "t"])
    data = pd.DataFrame({"u": 5 + 3 * rng.standard_normal(40), "v": 0.0}, index=index)
    model = ode.LatentSDEForecaster(2.0, dynamics=dynamics, **QUICK | {"n_paths": 128}).fit(data)
    ahead = pd.MultiIndex.from_arrays([range(40), data.index.get_level_values(1) + 2.0])
    found = model.predict_interval(ahead, coverage=0.8)
    wide = {name: found[name, 0.8, "upper"] - found[name, 0.8, "lower"] for name in ("u", "v")}
    assert wide["u"].mean() == pytest.approx(2 * 1.28 * data["u"].std(), rel=0.25)
    assert wide["v"].max() < 0.5


def test_between_observations_intervals_are_narrower(model: ode.LatentSDEForecaster) -> None:
    """What comes after is known too."""
    data = walks(12)
    times = data.loc[0].index.to_numpy()
    k = int(np.diff(times).argmax())
    middle = float(times[k : k + 2].mean())
    gap = middle - float(times[k])
    inside = model.predict_interval(rows(0, [middle]), coverage=0.8)
    ahead = model.predict_interval(rows(0, [float(times[-1]) + gap]), coverage=0.8)
    width = [float((x["u", 0.8, "upper"] - x["u", 0.8, "lower"]).iloc[0]) for x in (inside, ahead)]
    assert width[0] < width[1]


def test_paths_have_the_predicted_marginals_and_the_dependence_of_a_walk(
    model: ode.LatentSDEForecaster,
) -> None:
    """Quantiles over many paths, and the correlation of two times."""
    end = float(walks(12).loc[3].index[-1])
    asked = rows(3, [end + 0.5, end + 2.0])
    paths = model.sample(asked, n_samples=800)["u"].to_numpy().reshape(800, 2)
    quantiles = model.predict_quantiles(asked, alpha=[0.2, 0.5, 0.8])["u"].to_numpy()
    for k in range(2):
        below = (paths[:, k, None] < quantiles[k]).mean(0)
        np.testing.assert_allclose(below, [0.2, 0.5, 0.8], atol=0.15)
    assert 0.2 < np.corrcoef(paths.T)[0, 1] < 0.8
    one = model.sample(asked[:1], n_samples=800)["u"].to_numpy()
    assert not np.array_equal(model.sample(asked[:1], n_samples=800, random_state=5)["u"], one)


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize(
    ("dynamics", "params"),
    [
        ("sde", {"hidden": 8, "noise_type": "additive"}),
        ("sde", {"hidden": 8, "sde_type": "stratonovich"}),
        ("second_order", {"hidden": 8}),
    ],
)
def test_dynamics_fit_forecast_save_and_load(
    training: str, dynamics: str, params: dict[str, Any], tmp_path: Path
) -> None:
    """Stochastic ones as they are, ordinary ones with a learned diffusion."""
    model = ode.LatentSDEForecaster(
        2.0, dynamics=dynamics, dynamics_params=params, training=training, **QUICK
    ).fit(walks())
    asked = [10.2, 11.0]
    forecast = model.predict(asked)
    assert np.isfinite(forecast.to_numpy()).all()
    model.save(tmp_path / "model.zip")
    again = ode.load(tmp_path / "model.zip")
    pd.testing.assert_frame_equal(again.predict(asked), forecast)


def test_known_inputs_drive_the_paths() -> None:
    """Another course of the inputs to come is another forecast, the further the more."""
    data = walks()
    times = data.index.get_level_values("t").to_numpy()
    known = pd.DataFrame({"force": np.sin(times)}, index=data.index)
    model = ode.LatentSDEForecaster(2.0, **QUICK).fit(known, data)
    asked = rows(0, [10.5, 12.0])
    low, high = (
        model.predict(pd.DataFrame({"force": [x, x]}, index=asked)).to_numpy() for x in (-1.0, 1.0)
    )
    moved = np.abs(high - low).sum(1)
    assert 0 < moved[0] < moved[1]


def test_members_share_their_paths() -> None:
    """Several networks draw one path each time, and forecast together."""
    model = ode.LatentSDEForecaster(2.0, n_members=2, **QUICK).fit(walks())
    assert model.sample([10.5], n_samples=3).shape == (12, 2)


@pytest.mark.parametrize("forecaster", [ode.LatentODEForecaster, ode.ODERNNForecaster])
def test_a_stochastic_dynamics_in_an_ordinary_forecaster(forecaster: Any) -> None:
    """Is refused with the forecaster to use."""
    with pytest.raises(ode.PluginError, match="use LatentSDEForecaster"):
        forecaster(2.0, dynamics="sde", max_epochs=1).fit(walks())


class Scalar(Dynamics):
    """One disturbance of two coordinates."""

    noise_type = "scalar"

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Drift."""
        return -state

    def diffusion(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Diffusion."""
        return torch.ones_like(state)[..., None]


def test_noise_that_the_training_cannot_handle() -> None:
    """Is refused with what is needed."""
    general = {"noise_type": "general"}
    with pytest.raises(ode.PluginError, match="training='matching' needs"):
        ode.LatentSDEForecaster(2.0, dynamics_params=general, **QUICK).fit(walks())
    with pytest.raises(ode.PluginError, match="A latent SDE needs"):
        ode.LatentSDEForecaster(2.0, dynamics=Scalar, training="solver", **QUICK).fit(walks())


def test_a_stochastic_dynamics_is_not_disturbed_twice() -> None:
    """Its own diffusion is there."""
    with pytest.raises(ValueError, match="SDE is stochastic already"):
        Disturbed(SDE(2))
