"""The density estimator by a continuous normalizing flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.utils.estimator_checks import parametrize_with_checks

import odeseries as ode

EQUIVALENCE = "training in minibatches; the law is tested on full batches"


def _expected_failures(estimator: Any) -> dict[str, str]:
    return {"check_sample_weight_equivalence_on_dense_data": EQUIVALENCE}


@parametrize_with_checks(
    [ode.CNFDensityEstimator(max_epochs=1, random_state=0)],
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
    return ode.CNFDensityEstimator(max_epochs=10, random_state=0).fit(moons)


def test_density_integrates_to_one_in_one_dimension() -> None:
    """The sum over a fine grid is 1 within 1 %."""
    X = np.random.default_rng(0).gamma(3.0, size=(300, 1))
    model = ode.CNFDensityEstimator(max_epochs=5, random_state=0).fit(X)
    grid = np.linspace(-30, 40, 4001)
    density = np.exp(model.score_samples(grid[:, None]))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.01)


def test_density_integrates_to_one_in_two_dimensions(fitted: Any) -> None:
    """The sum over a fine grid is 1 within 1 %."""
    x, y = np.linspace(-4, 5, 91), np.linspace(-3.5, 4, 91)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    density = np.exp(fitted.score_samples(grid.reshape(-1, 2))).reshape(91, 91)
    total = np.trapezoid(np.trapezoid(density, y), x)
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
