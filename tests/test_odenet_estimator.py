"""The classifier as an estimator: labels, weights, parts, stopping, other people's tools."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

import odeseries as ode

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]


def small(**changes: Any) -> ode.ODENetClassifier:
    """A classifier that is fitted at once."""
    return ode.ODENetClassifier(**{"hidden": 8, "max_epochs": 3, "random_state": 0, **changes})


def test_labels_of_any_type_that_sorts() -> None:
    """Texts and numbers that stand for the same classes give the same probabilities."""
    by_number = small().fit(X, Y)
    by_name = small().fit(X, NAMES)
    assert by_name.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(by_name.predict(X)) <= set(NAMES)
    np.testing.assert_array_equal(by_name.predict_proba(X), by_number.predict_proba(X))


def test_nullable_labels_keep_their_values() -> None:
    """Large whole numbers stay apart, booleans stay booleans, and the score tells them apart."""
    points, big = X[:100], 2**60 + Y[:100]
    nullable = pd.Series(big, dtype="Int64")
    model = small(max_epochs=10).fit(points, nullable)
    assert model.classes_.tolist() == [2**60, 2**60 + 1]
    assert model.predict(points).dtype == np.int64
    np.testing.assert_array_equal(
        model.predict_proba(points), small(max_epochs=10).fit(points, big).predict_proba(points)
    )
    assert model.score(points, nullable) > 0.9
    assert model.score(points, pd.Series(big[::-1].copy(), dtype="Int64")) < 0.1
    flags = pd.Series(Y[:100] == 1, dtype="boolean")
    assert small().fit(points, flags).predict(points).dtype == np.bool_
    part = small().partial_fit(points, nullable, classes=nullable.unique())
    assert part.classes_.tolist() == [2**60, 2**60 + 1]


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([0, 1, None] * 50, dtype="Int64"),
        pd.Series(["a", "b", None] * 50),
        ["a", "b", None] * 50,
    ],
)
def test_missing_labels_are_refused(labels: Any) -> None:
    """With their number and where the first is."""
    with pytest.raises(ode.DataError, match="y is missing in 50 of 150 rows, the first at"):
        small().fit(X, labels)


DATES = pd.date_range("2020", periods=150)


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        (pd.DataFrame({"when": DATES}), "'when'"),
        (pd.DataFrame({"x": X[:, 0], "when": DATES.tz_localize("UTC")}), "'when'"),
        (pd.DataFrame({"x": X[:, 0], "age": DATES - DATES[0]}), "'age'"),
        (pd.DataFrame({"x": X[:, 0], "when": list(DATES)}, dtype=object), "'when'"),
        (pd.DataFrame({"month": DATES.to_period("M")}), "'month'"),
        (DATES.to_numpy()[:, None], "0"),
        ((DATES - DATES[0]).to_numpy()[:, None], "0"),
        ([[1.0, np.datetime64("2020-01-01")]] * 150, "1"),
    ],
)
def test_dates_are_no_features(rows: Any, column: str) -> None:
    """Their numbers depend on their unit: they are refused by name."""
    text = f"X holds dates or time differences in column {column}: turn them into numbers"
    with pytest.raises(ode.DataError, match=text):
        small().fit(rows, Y)


def test_dates_are_refused_in_predictions() -> None:
    """Where numbers were learnt from."""
    model = small().fit(X[:, :1], Y)
    with pytest.raises(ode.DataError, match="X holds dates"):
        model.predict(DATES.to_numpy()[:, None])


def test_all_answers_are_of_the_same_logits() -> None:
    """Probabilities in float64 sum to one, and logarithm, decision and class belong to them."""
    model = small().fit(X, Y)
    p = model.predict_proba(X)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-15)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), p, rtol=1e-12)
    logits = model.decision_function(X)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), p)
    np.testing.assert_array_equal(model.predict(X), p.argmax(1))
    two = small().fit(X[:100], Y[:100])
    odds = two.predict_proba(X[:100])
    np.testing.assert_allclose(two.decision_function(X[:100]), np.log(odds[:, 1] / odds[:, 0]))


def test_log_probabilities_stay_finite_where_probabilities_vanish() -> None:
    """Far from the data the logits are large, and their logarithms are no infinities."""
    model = small(learning_rate=0.1, max_epochs=20).fit(X, Y)
    with torch.no_grad():
        model.network_.head.weight.mul_(1e4)
    assert np.isfinite(model.predict_log_proba(X)).all()
    assert (model.predict_proba(X) == 0).any()


def test_class_weights_are_weights_of_rows() -> None:
    """In a dict, balanced, and given row by row they mean the same."""
    weights = {"setosa": 3.0, "versicolor": 1.0, "virginica": 0.5}
    by_class = small(class_weight=weights).fit(X, NAMES)
    by_row = small().fit(X, NAMES, sample_weight=[weights[name] for name in NAMES])
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-6)
    few = np.r_[0:50, 50:60, 100:105]
    counts = {0: 50, 1: 10, 2: 5}
    balanced = small(class_weight="balanced").fit(X[few], Y[few])
    told = small().fit(X[few], Y[few], sample_weight=[65 / (3 * counts[k]) for k in Y[few]])
    np.testing.assert_allclose(balanced.predict_proba(X), told.predict_proba(X), atol=1e-6)


def test_an_integer_weight_is_as_many_rows() -> None:
    """Where a batch holds all rows, what is exact in law is exact in numbers."""
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, len(X))
    settings = {
        "batch_size": 1000,
        "max_epochs": 40,
        "learning_rate": 0.02,
        "input_noise": 0.0,
    }
    weighted = small(**settings).fit(X, Y, sample_weight=weights)
    repeated = small(**settings).fit(np.repeat(X, weights, 0), np.repeat(Y, weights))
    one = weighted.predict_proba(X)
    np.testing.assert_allclose(one, repeated.predict_proba(X), atol=1e-4)
    plain = small(**settings).fit(X, Y).predict_proba(X)
    assert np.abs(one - plain).max() > 1e-2


def test_parts_add_up_to_a_training() -> None:
    """Twenty parts of one epoch separate what a single epoch does not."""
    model = small(learning_rate=0.02)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, NAMES)
    for _ in range(20):
        model.partial_fit(X, NAMES, classes=np.unique(NAMES))
    assert model.score(X, NAMES) > 0.9
    assert len(model.history_) == model.n_epochs_ == 20
    with pytest.raises(ValueError, match=r"not among the classes .*: \['rose'\]"):
        model.partial_fit(X[:2], ["rose", "setosa"])
    with pytest.raises(ValueError, match="not those of the first call"):
        model.partial_fit(X, NAMES, classes=["setosa", "rose"])
    with pytest.raises(ValueError, match="balanced"):
        small(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


def test_classes_may_be_announced_before_they_are_seen() -> None:
    """The first part has one class of three."""
    model = small().partial_fit(X[:50], NAMES[:50], classes=np.unique(NAMES))
    assert model.predict_proba(X).shape == (150, 3)
    model.partial_fit(X[50:], NAMES[50:])
    assert np.isfinite(model.predict_log_proba(X)).all()


def test_early_stopping_keeps_the_best_weights() -> None:
    """The held-out log-loss of the kept weights is the lowest that was seen."""
    points, labels = make_blobs(300, centers=4, cluster_std=4.0, random_state=0)
    model = small(early_stopping=True, max_epochs=60, patience=5, learning_rate=0.05)
    model.fit(points, labels)
    held_out = model.history_["held_out_loss"]
    assert model.n_epochs_ < 60
    assert held_out.idxmin() == model.n_epochs_ - 1 - 5


def test_the_end_of_the_time_is_learnt_on_request() -> None:
    """``T_`` moves from where it starts only then, and stays positive."""
    assert small(T=2.0).fit(X, Y).T_ == 2.0
    learnt = small(T=2.0, learn_T=True, max_epochs=20).fit(X, Y)
    assert learnt.T_ > 0
    assert abs(learnt.T_ - 2.0) > 1e-3


def test_evaluations_are_counted_row_by_row() -> None:
    """Fixed steps cost every row the same, adaptive ones what the row needs."""
    fixed = small(solver="rk4", solver_params={"n_steps": 3}).fit(X, Y)
    assert fixed.nfe_ == 12
    assert fixed.nfe(X).tolist() == [12] * 150
    adaptive = small(solver="dopri5", solver_params={"rtol": 1e-2, "atol": 1e-3}, T=4.0).fit(X, Y)
    loose = adaptive.nfe(X)
    adaptive.network_.block.options = {"rtol": 1e-6, "atol": 1e-7}
    assert adaptive.nfe_ == loose.mean()
    assert adaptive.nfe(X).mean() > 1.5 * loose.mean()


def test_other_peoples_tools() -> None:
    """Search, pipeline, calibration, clone and pickle."""
    search = GridSearchCV(small(), {"hidden": [4, 8], "dynamics": ["mlp", "augmented"]}, cv=2)
    search.fit(X, NAMES)
    assert search.best_score_ > 1 / 3
    pipe = make_pipeline(QuantileTransformer(n_quantiles=20), small(max_epochs=20)).fit(X, NAMES)
    assert pipe.score(X, NAMES) > 0.9
    calibrated = CalibratedClassifierCV(small(), cv=2).fit(X, NAMES)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(1), 1)
    model = small().fit(X, NAMES)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


def test_the_seed_decides_and_global_generators_do_not() -> None:
    """Equal seeds, equal probabilities; numpy's and torch's global states are left alone."""
    np.random.seed(1)  # noqa: NPY002  # the global generator is what is watched
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002  # as above
    first = small().fit(X, Y)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002  # as above
    assert torch.equal(torch.get_rng_state(), before[1])
    np.random.seed(2)  # noqa: NPY002  # as above
    torch.manual_seed(2)
    np.testing.assert_array_equal(small().fit(X, Y).predict_proba(X), first.predict_proba(X))
    other = small(random_state=1).fit(X, Y)
    assert np.abs(other.predict_proba(X) - first.predict_proba(X)).max() > 1e-4


def test_without_a_seed_global_generators_are_left_alone() -> None:
    """Nothing is drawn from numpy's, nor does it decide."""
    answers = []
    for _ in range(2):
        np.random.seed(1)  # noqa: NPY002  # the global generator is what is watched
        before = np.random.get_state()[1].copy()  # noqa: NPY002  # as above
        model = small(random_state=None).fit(X, Y)
        model.partial_fit(X, Y)
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002  # as above
        answers.append(model.predict_proba(X))
    assert np.abs(answers[0] - answers[1]).max() > 1e-4


KILLED = """
import os, signal, sys
from sklearn.datasets import load_iris
import odeseries as ode

def kill(record):
    if record["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)

X, y = load_iris(return_X_y=True)
ode.ODENetClassifier(
    hidden=8, max_epochs=6, random_state=0, checkpoint_dir=sys.argv[1], callbacks=kill
).fit(X, y)
"""


def test_a_killed_fit_goes_on_where_it_was(tmp_path: Path) -> None:
    """The same fit again trains the rest only, and ends with the weights of one in one piece."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-c", KILLED, str(tmp_path)], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert any(tmp_path.iterdir())
    seen = []
    settings = {"max_epochs": 6, "checkpoint_dir": tmp_path}
    resumed = small(**settings, callbacks=lambda record: seen.append(record["epoch"])).fit(X, Y)
    assert seen == [3, 4, 5]
    assert not any(tmp_path.iterdir())
    whole = small(max_epochs=6).fit(X, Y)
    np.testing.assert_allclose(resumed.predict_proba(X), whole.predict_proba(X), atol=1e-6)


def test_a_limit_on_time_ends_the_fit() -> None:
    """The rate has risen and fallen in the time that there was."""
    model = small(max_epochs=100_000, max_time=0.3).fit(X, Y)
    assert model.n_epochs_ < 100_000
    assert model.history_["loss"].iloc[-1] < model.history_["loss"].iloc[0]


def test_weights_mean_the_same_in_every_part() -> None:
    """Rows of 100 in a later part weigh as class weights of 100 do; a part may lack a class."""
    first, rare = Y < 2, Y == 2

    def parts(weight: float, **settings: Any) -> Any:
        model = small(**settings)
        for k, part in enumerate((first, rare, first)):
            given = np.full(part.sum(), weight if k == 1 else 1.0)
            model.partial_fit(X[part], Y[part], classes=[0, 1, 2], sample_weight=given)
        return model.predict_proba(X)

    heavy = parts(100.0)
    assert np.abs(heavy - parts(1.0)).max() > 1e-3
    np.testing.assert_allclose(heavy, parts(1.0, class_weight={2: 100.0}), atol=1e-6)


def test_wrong_class_weights_are_refused() -> None:
    """Negative ones, and classes that are not there while others have no weight."""
    with pytest.raises(ValueError, match=r"not negative, but has \{1: -1.0\}"):
        small(class_weight={1: -1.0}).fit(X, Y)
    with pytest.raises(ValueError, match=r"finite .* \{2: nan\}"):
        small(class_weight={2: float("nan")}).fit(X, Y)
    with pytest.raises(ValueError, match="leaves no row a weight"):
        small(class_weight={0: 0.0, 1: 0.0, 2: 0.0}).fit(X, Y)
    with pytest.raises(ValueError, match="not in class_weight"):
        small(class_weight={"setosa": 2.0}).fit(X, Y)


def test_labels_of_another_type_are_refused() -> None:
    """Texts are not the numbers that they spell, however many classes there are."""
    points, labels = np.repeat(X[:24], 2, 0), np.repeat(np.arange(24), 2)
    model = small().partial_fit(points, labels, classes=np.arange(24))
    with pytest.raises(ValueError, match=r"not among the classes .*'0', '1'"):
        model.partial_fit(points, labels.astype(str))
