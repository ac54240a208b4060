"""Case 43 of the field: one class only, or a class too rare for the inner split."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

import odeseries as ode
from odeseries.odenet.rows import hold_out

rng = np.random.default_rng


def stopping(**changes: Any) -> ode.ODENetClassifier:
    """A small classifier that holds rows out."""
    settings = {"hidden": 8, "max_epochs": 8, "early_stopping": True, "random_state": 0}
    return ode.ODENetClassifier(**{**settings, **changes})


def shifted(counts: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of points, one a class."""
    labels = np.repeat(list(counts), list(counts.values()))
    centres = {name: 3.0 * i for i, name in enumerate(counts)}
    return rng(0).standard_normal((len(labels), 2)) + [[centres[x]] * 2 for x in labels], labels


@pytest.mark.parametrize("early", [False, True])
def test_case_43_a_single_class_is_certain(early: bool) -> None:
    """One column of ones, and that class everywhere."""
    points, _ = shifted({"a": 20})
    model = stopping(early_stopping=early).fit(points, ["a"] * 20)
    np.testing.assert_array_equal(model.predict_proba(points), np.ones((20, 1)))
    assert set(model.predict(points)) == {"a"}
    assert model.score(points, ["a"] * 20) == 1.0


def test_case_43_a_hundred_to_one() -> None:
    """Weights of classes move the rare one up; nothing is NaN; a score of the rare alone."""
    points, labels = shifted({"a": 198, "b": 2})
    rare = labels == "b"
    plain = stopping().fit(points, labels)
    balanced = stopping(class_weight="balanced").fit(points, labels)
    given = stopping(class_weight={"a": 1.0, "b": 99.0}).fit(points, labels)
    for model in (plain, balanced, given):
        assert model.classes_.tolist() == ["a", "b"]
        assert np.isfinite(model.predict_log_proba(points)).all()
        assert np.isfinite(model.history_["held_out_loss"]).all()
        assert 0 <= model.score(points[rare], labels[rare]) <= 1
    up = balanced.predict_proba(points)[rare, 1].min()
    assert up > plain.predict_proba(points)[rare, 1].min()
    assert up > 0.5


def test_case_43_a_class_of_one_row_is_learnt_and_not_held_out() -> None:
    """A warning says so, and the class stays."""
    points, labels = shifted({"a": 40, "b": 40, "c": 1})
    with pytest.warns(UserWarning, match="rarest class has 1 of 81 rows") as seen:
        model = stopping(max_epochs=40, learning_rate=0.02).fit(points, labels)
    assert seen[0].filename == __file__
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.predict_proba(points).shape == (81, 3)
    with pytest.warns(UserWarning, match="rarest class"):
        known, held = hold_out(np.unique(labels, return_inverse=True)[1], 0.1, rng(0))
    assert 80 in known
    assert 80 not in held


def test_case_43_more_classes_than_rows_held_out() -> None:
    """The split is no longer by class, with a warning that says what to do."""
    points, labels = shifted(dict.fromkeys("abcdefgh", 3))
    with pytest.warns(UserWarning, match="Raise validation_fraction"):
        model = stopping(validation_fraction=0.1).fit(points, labels)
    assert len(model.classes_) == 8
    assert np.isfinite(model.predict_log_proba(points)).all()


def test_case_43_too_few_rows_to_hold_any_out() -> None:
    """Training goes on without."""
    with pytest.warns(UserWarning, match="early stopping is off"):
        model = stopping().fit([[0.0], [1.0]], ["a", "b"])
    assert model.n_epochs_ == 8


def test_case_43_folds_of_sorted_labels() -> None:
    """Folds without a class of the others score low, and neither fail nor are NaN."""
    points, labels = shifted({"a": 30, "b": 30})
    order = np.arange(60)
    halves = [(order[:30], order[30:]), (order[30:], order[:30])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = cross_val_score(stopping(), points, labels, cv=halves, error_score="raise")
    assert scores.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_rows_without_weight_are_neither_trained_on_nor_held_out(class_weight: Any) -> None:
    """A fit is the one without them, and nothing warns of losses that are not finite."""
    points, labels = shifted({"a": 40, "b": 40})
    weights = np.where((np.arange(80) % 40 < 6) | (np.arange(80) > 70), 1.0, 0.0)
    kept = weights > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = stopping(validation_fraction=0.2, class_weight=class_weight)
        weighted = model.fit(points, labels, sample_weight=weights)
    few = stopping(validation_fraction=0.2, class_weight=class_weight)
    few.fit(points[kept], labels[kept])
    assert np.isfinite(weighted.history_["held_out_loss"]).all()
    np.testing.assert_allclose(weighted.predict_proba(points), few.predict_proba(points), atol=1e-6)


def test_images_without_weight_are_no_background() -> None:
    """What comes in at the borders of moved images is that of those with a weight."""
    images = np.zeros((20, 1, 8, 8))
    images[8:] = 1.0
    images[:, 0, 2:5, 2:5] += np.arange(20)[:, None, None] % 2
    weights = np.repeat([1.0, 0.0], [8, 12])
    model = ode.ODENetClassifier(hidden=4, max_epochs=1, augmentation="shift", random_state=0)
    model.fit(images, np.arange(20) % 2, sample_weight=weights)
    few = ode.ODENetClassifier(hidden=4, max_epochs=1, augmentation="shift", random_state=0)
    few.fit(images[:8], np.arange(8) % 2)
    np.testing.assert_allclose(model.predict_proba(images), few.predict_proba(images), atol=1e-6)


def test_a_class_without_weight_stays_among_the_classes() -> None:
    """As in scikit-learn's classifiers; it is hardly ever predicted."""
    points, labels = shifted({"a": 20, "b": 20, "c": 20})
    model = stopping(max_epochs=30).fit(points, labels, sample_weight=labels != "c")
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.predict_proba(points).shape == (60, 3)
    assert model.predict_proba(points[:40])[:, 2].max() < 0.2
