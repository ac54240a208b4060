"""The parts of the density estimator: divergence, bases, spaces, paths, conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from odeseries.cnf.bases import MixtureBase, NormalBase
from odeseries.cnf.conditions import Conditions
from odeseries.cnf.flow import Flow
from odeseries.cnf.path import end_of_noise, on_path, shares
from odeseries.cnf.powers import Powers
from odeseries.cnf.routes import best_ground
from odeseries.cnf.spaces import Space
from odeseries.cnf.velocity import Velocity
from odeseries.dynamics import MLP, Fourier


def _trace(field: torch.nn.Module, states: Tensor) -> Tensor:
    """Trace of the Jacobian of every row, by autograd over the whole of it."""
    rows = [torch.autograd.functional.jacobian(lambda s: field(None, s), row) for row in states]
    return torch.stack([row.trace() for row in rows])


@pytest.mark.parametrize("cls", [MLP, Fourier])
@pytest.mark.parametrize("dim", [1, 3, 20])
def test_closed_divergence_is_the_trace_of_the_jacobian(cls: type, dim: int) -> None:
    """And the derivative beside it is the field's."""
    torch.manual_seed(0)
    field, states = cls(dim).double(), torch.randn(4, dim, dtype=torch.float64)
    slope, divergence = field.with_divergence(torch.zeros(4, 1), states)
    torch.testing.assert_close(slope, field(torch.zeros(4, 1), states))
    torch.testing.assert_close(divergence, _trace(field, states))


def _velocity(divergence: str, dynamics: str = "mlp", depth: int = 3) -> Velocity:
    """A field of three dimensions; of depth 3 it has no closed divergence."""
    torch.manual_seed(1)
    params = {"depth": depth, "hidden": 8}
    return Velocity(dynamics, 3, 0, params=params, divergence=divergence).double()


def _divergences(velocity: Velocity, probes: Tensor) -> Tensor:
    torch.manual_seed(2)
    states = torch.randn(5, 3, dtype=torch.float64)
    t, condition = torch.full((5, 1), 0.3, dtype=torch.float64), states[:, :0]
    with torch.no_grad():
        return velocity.with_divergence(t, states, condition, probes)[:, -1]


def test_rows_of_the_jacobian_agree_with_the_closed_form() -> None:
    """Both are exact."""
    closed = _velocity("exact", depth=2)
    rows = _velocity("exact", depth=2)
    rows.closed = False
    assert closed.closed
    torch.testing.assert_close(_divergences(closed, None), _divergences(rows, None))


def test_probes_are_unbiased_with_an_error_that_falls() -> None:
    """The mean over probes is the trace; a hundred times as many have a tenth of the spread."""
    exact = _divergences(_velocity("exact"), None)
    estimated = _velocity("hutchinson")
    signs = torch.randn(2000, 1, 3, dtype=torch.float64).sign()
    single = torch.stack([_divergences(estimated, probe[None]) for probe in signs[:1000]])
    spread = single.std(0)
    assert ((single.mean(0) - exact).abs() < 4 * spread / 1000**0.5 + 1e-12).all()
    groups = [_divergences(estimated, group) for group in signs.split(100)]
    assert float(torch.stack(groups).std(0).div(spread).mean()) == pytest.approx(0.1, abs=0.04)


def test_mixture_is_that_of_scikit_learn() -> None:
    """Density and moments of the draws agree; of several it is the mean of their densities."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-2, 0.5, (200, 2)), rng.normal(1, 1, (100, 2))])
    mixtures = [GaussianMixture(k, random_state=0).fit(x) for k in (2, 3)]
    base = MixtureBase.of(mixtures).double()
    log_density = base.log_density(torch.from_numpy(x)).numpy()
    expected = np.log(np.mean([np.exp(m.score_samples(x)) for m in mixtures], axis=0))
    np.testing.assert_allclose(log_density, expected, atol=1e-4)
    draws = base.sample(20_000, rng)
    np.testing.assert_allclose(draws.mean(0), x.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(x.T), atol=0.08)


def test_normal_density() -> None:
    """In one dimension at zero it is that of the formula."""
    assert float(NormalBase(1).log_density(torch.zeros(1, 1))) == pytest.approx(-0.918939, abs=1e-5)


@pytest.mark.parametrize("kind", ["none", "standard", "whiten"])
def test_spaces_are_affine_maps(kind: str) -> None:
    """The way back, the volume, and the moments inside."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) * [1, 10, 1e-3] + [0, 5, 1e4]
    space = Space.of(kind, X, np.ones(500))
    np.testing.assert_allclose(space.outside(space.inside(X)), X, rtol=1e-9)
    assert space.log_volume == pytest.approx(np.linalg.slogdet(space.forward)[1])
    if kind != "none":
        np.testing.assert_allclose(space.inside(X).std(0), 1, atol=1e-6)
    if kind == "whiten":
        np.testing.assert_allclose(np.cov(space.inside(X).T), np.eye(3), atol=1e-2)


def test_powers_map_the_line_onto_itself() -> None:
    """The way back, also far away, and the derivative against differences."""
    rng = np.random.default_rng(0)
    X = np.c_[np.exp(rng.normal(size=400)), -np.exp(rng.normal(size=400)), rng.normal(size=400)]
    space = Space.of("power", X, np.ones(400))
    assert space.powers is not None
    first, second, third = space.powers.exponents
    assert first < 0.2
    assert second > 1.8
    assert third == pytest.approx(1, abs=0.3)
    far = np.array([[0.3, -0.2, 0.1], [1e3, -1e3, 50.0], [-40.0, 40.0, -50.0]])
    np.testing.assert_allclose(space.outside(space.inside(far)), far, rtol=1e-7)
    for row, volume in zip(far, space.log_volumes(far), strict=True):
        steps = np.diag(1e-5 * (1 + np.abs(row)))
        slopes = (space.inside(row + steps) - space.inside(row - steps)) / (2 * np.diag(steps))[
            :, None
        ]
        assert volume == pytest.approx(np.linalg.slogdet(slopes)[1], abs=1e-5)


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_powers_of_zero_are_logarithms(exponent: float) -> None:
    """At the ends of the exponents the formula is a limit."""
    powers = Powers(np.zeros(1), np.ones(1), np.array([exponent]))
    x = np.array([[0.5], [-0.5]])
    log, square = np.log(1.5), (1.5**2 - 1) / 2
    expected = [[log], [-square]] if exponent == 0 else [[square], [-log]]
    np.testing.assert_allclose(powers.inside(x), expected)
    np.testing.assert_allclose(powers.outside(powers.inside(x)), x)


def test_powers_are_chosen_for_skewed_features_only() -> None:
    """Where they are clearly better."""
    X = np.random.default_rng(0).normal(size=(150, 2))
    kinds, weights = ("standard", "whiten", "power"), np.ones(150)
    assert best_ground(kinds, True, X, weights, 0).space.kind != "power"
    assert best_ground(kinds, True, np.exp(2 * X), weights, 0).space.kind == "power"


def test_weights_of_a_space_are_repetitions() -> None:
    """A weight of 2 is a row twice, and one of 0 none."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    weights = np.arange(50) % 3
    weighted = Space.of("whiten", X, weights / weights.mean())
    repeated = Space.of("whiten", np.repeat(X, weights, 0), np.ones(weights.sum()))
    np.testing.assert_allclose(weighted.inside(X), repeated.inside(X), atol=1e-9)


def test_constant_feature_has_a_space() -> None:
    """It is left as wide as it is."""
    X = np.c_[np.arange(10.0), np.full(10, 3.7)]
    for kind in ("standard", "whiten", "power"):
        assert np.isfinite(Space.of(kind, X, np.ones(10)).inside(X)).all()


def test_paths_lead_from_noise_to_data() -> None:
    """Ends, the velocity as their derivative, and unit variance all along."""
    torch.manual_seed(0)
    noise, x = torch.randn(2, 1000, 1, dtype=torch.float64)
    t = torch.rand(1000, 1, dtype=torch.float64)
    torch.testing.assert_close(on_path(0 * t, noise, x)[0], noise)
    torch.testing.assert_close(on_path(0 * t + 1, noise, x)[0], x)
    state, velocity = on_path(t, noise, x)
    later = on_path(t + 1e-6, noise, x)[0]
    torch.testing.assert_close((later - state) / 1e-6, velocity, atol=1e-5, rtol=1e-5)
    assert float(state.var()) == pytest.approx(1, abs=0.15)


def test_end_of_noise() -> None:
    """There the shares are in the ratio of noise to data."""
    of_noise, of_x = shares(end_of_noise(torch.tensor([0.0, 0.3])))
    torch.testing.assert_close(of_noise / of_x, torch.tensor([0.0, 0.3]), atol=1e-6, rtol=1e-6)


def test_conditions() -> None:
    """Classes become indicators, numbers are standardised."""
    classes = Conditions.of(np.array(["b", "a", "b"]), np.ones(3))
    np.testing.assert_array_equal(classes.encoded(["a", "b"], 2), np.eye(2))
    numbers = Conditions.of(np.array([0.5, 1.5, 3.25]), np.ones(3))
    encoded = numbers.encoded([0.5, 1.5, 3.25], 3)
    assert encoded.mean() == pytest.approx(0)
    assert encoded.std() == pytest.approx(1)


def test_conditions_that_are_constant_up_to_rounding_keep_their_unit() -> None:
    """The mean of many 0.1 is not 0.1; rows without weight do not count, small spreads do."""
    y = np.column_stack([np.full(1001, 0.1), np.full(1001, 0.1), np.zeros(1001), np.ones(1001)])
    weights = np.ones(1001)
    y[7, 1], y[7, 3], weights[7] = 5.0, 5.0, 0.0
    y[::2, 3] += 1e-9
    scale = Conditions.of(y, weights).scale
    np.testing.assert_array_equal(scale[:3], 1.0)
    assert scale[3] == pytest.approx(5e-10, rel=1e-3)


@pytest.mark.parametrize(
    ("y", "n", "text"),
    [
        (None, 1, "give y"),
        (["a"], 2, "1 targets for 2 rows"),
        (["c"], 1, "not in the fit"),
    ],
)
def test_impossible_conditions_are_refused(y: list[str] | None, n: int, text: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=text):
        Conditions.of(np.array(["b", "a"]), np.ones(2)).encoded(y, n)


@pytest.mark.parametrize(
    ("dynamics", "text"), [("sde", "stochastic"), ("augmented", "adds no coordinates")]
)
def test_unfit_dynamics_are_refused(dynamics: str, text: str) -> None:
    """What maps no density to a density."""
    with pytest.raises(ValueError, match=text):
        Velocity(dynamics, 2, 0, params={}, divergence="auto")


@pytest.mark.parametrize("solver", ["dopri5", "tsit5"])
@pytest.mark.parametrize("dynamics", ["fourier", "mlp"])
def test_gradients_of_a_density_by_adaptive_steps(dynamics: str, solver: str) -> None:
    """Are those of the same steps taken again."""
    torch.manual_seed(0)
    velocity = Velocity(dynamics, 2, 0, params={"hidden": 8}, divergence="auto")
    x = torch.randn(3, 2, dtype=torch.float64)
    found = []
    for gradient in ("autograd", "checkpoint"):
        options = {"rtol": 1e-6, "atol": 1e-8, "gradient": gradient}
        flow = Flow(velocity, NormalBase(2), solver=solver, options=options).double()
        total = flow.log_density(x, x[:, :0], torch.ones(1, 1, 2)).sum()
        found.append(torch.autograd.grad(total, [*velocity.parameters()]))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_divergences_in_inference_mode(divergence: str) -> None:
    """Are those elsewhere, and no zeros."""
    velocity, probes = _velocity(divergence), torch.ones(1, 1, 3, dtype=torch.float64)
    expected = _divergences(velocity, probes)
    assert bool((expected != 0).all())
    with torch.inference_mode():
        torch.testing.assert_close(_divergences(velocity, probes.clone()), expected)
