"""The classifier with an ODE block."""

from __future__ import annotations

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

import odeseries as ode

EQUIVALENCE = "training in minibatches; the law is tested on full batches"


def _expected_failures(estimator: Any) -> dict[str, str]:
    return {"check_sample_weight_equivalence_on_dense_data": EQUIVALENCE}


@parametrize_with_checks(
    [ode.ODENetClassifier(hidden=16, max_epochs=20)],
    expected_failed_checks=_expected_failures,
)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    """Every rule of scikit-learn's for classifiers."""
    check(estimator)
