"""The density estimator by a continuous normalizing flow."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn.datasets import make_moons
from sklearn.utils.estimator_checks import parametrize_with_checks

import odeseries as ode
from odeseries.cnf.mixtures import _Trial, drawn
from odeseries.cnf.routes import best_ground

EQUIVALENCE = "training in minibatches; the law is tested on full batches"


def _expected_failures(estimator: Any) -> dict[str, str]:
    return {"check_sample_weight_equivalence_on_dense_data": EQUIVALENCE}


PLAIN = {"base": "normal", "preprocessing": "standard", "early_stopping": False}


@parametrize_with_checks(
    [ode.CNFDensityEstimator(**PLAIN, dynamics_params={"hidden": 8}, max_epochs=1, random_state=0)],
    expected_failed_checks=_expected_failures,
)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    """Every rule of scikit-learn's for density estimators."""
    check(estimator)


@pytest.fixture(scope="module")
def moons() -> Any:
    """Rows on two arcs."""
    return make_moons(600, noise=0.1, random_state=0)[0]


@pytest.fixture(scope="module")
def fitted(moons: Any) -> ode.CNFDensityEstimator:
    """A flow that has learnt a little."""
    return ode.CNFDensityEstimator(**PLAIN, max_epochs=3, random_state=0).fit(moons)


def test_density_integrates_to_one_in_one_dimension() -> None:
    """The sum over a fine grid is 1 within 1 %."""
    X = np.random.default_rng(0).gamma(3.0, size=(100, 1))
    model = ode.CNFDensityEstimator(base="mixture", max_epochs=2, random_state=0).fit(X)
    grid = np.linspace(-30, 40, 4001)
    density = np.exp(model.score_samples(grid[:, None]))
    assert trapezoid(density, grid) == pytest.approx(1, abs=0.01)


def test_density_integrates_to_one_in_two_dimensions(fitted: Any) -> None:
    """The sum over a fine grid is 1 within 1 %."""
    x, y = np.linspace(-4, 5, 91), np.linspace(-3.5, 4, 91)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    density = np.exp(fitted.score_samples(grid.reshape(-1, 2))).reshape(91, 91)
    total = trapezoid(trapezoid(density, y), x)
    assert total == pytest.approx(1, abs=0.01)


def test_transform_can_be_undone(fitted: Any, moons: Any) -> None:
    """Rows come back from the base distribution."""
    again = fitted.inverse_transform(fitted.transform(moons))
    np.testing.assert_allclose(again, moons, atol=1e-4)


def test_row_does_not_depend_on_companions(fitted: Any, moons: Any) -> None:
    """A row alone has the density that it has among others."""
    alone = np.concatenate([fitted.score_samples(row[None]) for row in moons[:10]])
    np.testing.assert_allclose(alone, fitted.score_samples(moons)[:10], atol=1e-5)


def test_density_of_samples(fitted: Any) -> None:
    """Samples come with the density that the estimator gives them."""
    samples, log_density = fitted.sample_with_log_density(50, random_state=1)
    np.testing.assert_allclose(log_density, fitted.score_samples(samples), atol=1e-6)


def test_tails_fall(fitted: Any) -> None:
    """Far away the density is finite and falls with the distance."""
    for direction in ([1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]):
        rows = np.outer(np.logspace(1, 6, 20), direction)
        log_density = fitted.score_samples(rows)
        assert np.isfinite(log_density).all()
        assert (np.diff(log_density) < 0).all()


def _full_batch(**params: Any) -> ode.CNFDensityEstimator:
    """An estimator whose steps see all rows, and nothing random but the weights."""
    return ode.CNFDensityEstimator(
        **PLAIN, objective="likelihood", batch_size=1000, max_epochs=1, random_state=0, **params
    )


def test_weights_are_repetitions() -> None:
    """On full batches a weight of 2 is a row twice, and one of 0 none."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    weights = np.arange(30) % 3
    weighted = _full_batch().fit(X, sample_weight=weights)
    repeated = _full_batch().fit(np.repeat(X, weights, 0))
    np.testing.assert_allclose(
        weighted.score_samples(X), repeated.score_samples(X), atol=1e-3, rtol=1e-3
    )


def test_choices_are_tried(moons: Any) -> None:
    """Both ways to a density are tried on rows held out, and the better is taken."""
    model = ode.CNFDensityEstimator(max_epochs=1, random_state=0).fit(moons[:40])
    trials = model.history_.groupby("phase", sort=False)["held_out_loss"].min()
    assert trials.index[0] == "trial of flow_matching from a normal base"
    if "trial of likelihood from a mixture base" not in trials:
        assert model.objective_ == "flow_matching"
    assert model.discretization_error_ < 1e-3


def test_density_depends_on_its_condition() -> None:
    """Classes apart from each other have densities apart, and draws where they belong."""
    rng = np.random.default_rng(0)
    y = np.repeat(["left", "right"], 200)
    X = rng.normal(size=(400, 2)) * 0.3 + np.where(y == "left", -2, 2)[:, None]
    model = ode.CNFDensityEstimator(conditional=True, **PLAIN, max_epochs=3, random_state=0)
    model.fit(X, y)
    assert model.score(X, y) > model.score(X, y[::-1]) + 2
    draws = model.sample(100, ["right", "left"], random_state=0)
    assert draws[:100].mean() > 1.5
    assert draws[100:].mean() < -1.5
    with pytest.raises(ValueError, match="give y"):
        model.score_samples(X)


def test_condition_may_be_a_number() -> None:
    """The density moves with the number."""
    rng = np.random.default_rng(0)
    y = rng.uniform(-2, 2, size=500)
    X = y[:, None] + 0.2 * rng.normal(size=(500, 1))
    model = ode.CNFDensityEstimator(conditional=True, **PLAIN, max_epochs=4, random_state=0)
    model.fit(X, y)
    draws = model.sample(200, [-1.0, 1.0], random_state=0).reshape(2, 200)
    np.testing.assert_allclose(draws.mean(1), [-1, 1], atol=0.3)


def test_two_rows_are_enough() -> None:
    """And a feature that is constant does no harm."""
    model = ode.CNFDensityEstimator(max_epochs=1, random_state=0).fit([[0.0, 1.0], [1.0, 1.0]])
    assert np.isfinite(model.score_samples([[0.5, 1.0]])).all()


def test_audit_raises_the_steps(moons: Any) -> None:
    """One step is not enough for a flow that moves, and the estimator finds how many are."""
    model = ode.CNFDensityEstimator(**PLAIN, solver_params={"n_steps": 1}, max_epochs=2)
    model.set_params(random_state=0).fit(moons)
    assert model.solver_params_["n_steps"] > 1
    assert model.discretization_error_ < 1e-3
    assert abs(model.score(moons) - _finer(model, moons)) < 1e-3


def _finer(model: ode.CNFDensityEstimator, X: Any) -> float:
    """The score when it is solved with eight times as many steps."""
    model = copy.deepcopy(model)
    model.flow_.options = {"n_steps": 8 * model.solver_params_["n_steps"]}
    return model.score(X)


def test_estimated_divergence_repeats(moons: Any) -> None:
    """With random signs a density is the same when it is asked for again, alone or not."""
    model = _full_batch(divergence="hutchinson", dynamics="mlp", dynamics_params={"depth": 1})
    model.fit(moons)
    first = model.score_samples(moons)
    np.testing.assert_array_equal(first, model.score_samples(moons))
    np.testing.assert_allclose(first[:1], model.score_samples(moons[:1]), atol=1e-9)


def test_matching_starts_from_a_normal_base_only(moons: Any) -> None:
    """What can't be combined is said."""
    model = ode.CNFDensityEstimator(objective="flow_matching", base="mixture")
    with pytest.raises(ValueError, match="moves a normal base"):
        model.fit(moons)


def test_nearly_equal_weights_choose_like_equal_ones() -> None:
    """A mixture is never judged by copies of rows that it was fitted on."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    kinds, nearly = ("standard", "whiten"), 1 + 1e-3 * rng.random(60)
    right = best_ground(kinds, True, X, np.ones(60), 0)
    found = best_ground(kinds, True, X, nearly / nearly.mean(), 0)
    assert found.mixture.n_components == right.mixture.n_components == 1
    assert (found.space.kind, found.mixture.floor) == (right.space.kind, right.mixture.floor)
    assert found.mixture.score == pytest.approx(right.mixture.score, abs=0.02)


def test_rows_without_weight_choose_no_mixture() -> None:
    """As if they were not there."""
    X = np.random.default_rng(0).standard_normal((40, 2))
    weights = np.tile([0.0, 2.0], 20)
    few = best_ground(("whiten",), True, X[1::2], np.ones(20), 0)
    found = best_ground(("whiten",), True, X, weights, 0)
    np.testing.assert_allclose(found.mixture.each, few.mixture.each)


def test_rows_held_out_count_by_their_weights() -> None:
    """One that weighs three times as much counts three times as much."""
    X, weights = np.random.default_rng(0).standard_normal((40, 2)), np.ones(40)
    folds = [(np.arange(30), np.arange(30, 40))]
    light, heavy = _Trial(X, weights, np.zeros(40), folds, 0).judged(2, 0.1).each.reshape(2, 5)
    weights[35:] = 3.0
    weighted = _Trial(X, weights, np.zeros(40), folds, 0).judged(2, 0.1)
    assert weighted.score == pytest.approx((light.mean() + 3 * heavy.mean()) / 4)


def test_rows_are_drawn_as_often_as_they_weigh() -> None:
    """Whole shares exactly, others rounded; equal weights draw every row once."""
    X = np.arange(30.0)[:, None]
    weights = np.arange(30) % 3
    np.testing.assert_array_equal(drawn(X, weights, 0), np.repeat(X, weights, 0))
    assert drawn(X, np.full(30, 0.3), 0) is X
    shares = 1 + np.random.default_rng(0).uniform(-0.5, 0.5, 30)
    counts = np.bincount(drawn(X, shares, 0)[:, 0].astype(int), minlength=30)
    assert np.abs(counts - shares / shares.mean()).max() < 2
