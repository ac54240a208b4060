"""The classifier on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError

import odeseries as ode

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]


def small(**changes: Any) -> ode.ODENetClassifier:
    """A classifier that is fitted at once."""
    return ode.ODENetClassifier(**{"hidden": 8, "max_epochs": 2, "random_state": 0, **changes})


class Decay(ode.Dynamics):
    """A field of one parameter, registered nowhere."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.rate = torch.nn.Parameter(torch.ones(()))

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Derivative."""
        return -self.rate * state


class Mine(ode.ODENetClassifier):
    """A classifier that the package does not know."""


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_saved_model_answers_as_before(tmp_path: Path, name: str) -> None:
    """Of a frame with labels as texts and a scaled field; nothing is lost."""
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = small(dynamics="augmented", learn_T=True, callbacks=list, class_weight="balanced")
    model.fit(frame, NAMES)
    model.save(tmp_path / name)
    again = ode.load(tmp_path / name)
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    assert again.classes_.dtype == model.classes_.dtype
    assert again.get_params() == {**model.get_params(), "callbacks": None}
    assert again.feature_names_in_.tolist() == list("abcd")
    assert (again.nfe_, again.T_, again.n_epochs_) == (model.nfe_, model.T_, model.n_epochs_)
    pd.testing.assert_frame_equal(again.history_, model.history_)


def test_a_saved_model_was_built_with_the_parameters_of_its_fit(tmp_path: Path) -> None:
    """Later changes of parameters are saved too, and do not change the network."""
    images, labels = load_digits(return_X_y=True)
    images = images[:60].reshape(-1, 1, 8, 8)
    model = small(max_epochs=1).fit(images, labels[:60])
    model.set_params(hidden=5, T=3.0)
    model.save(tmp_path)
    again = ode.load(tmp_path)
    assert again.hidden == 5
    np.testing.assert_array_equal(again.predict_proba(images), model.predict_proba(images))


def test_training_in_parts_goes_on_after_loading(tmp_path: Path) -> None:
    """Momentum, averages and generators are saved too."""
    model = small().partial_fit(X, Y, classes=[0, 1, 2])
    model.save(tmp_path)
    again = ode.load(tmp_path).partial_fit(X, Y)
    np.testing.assert_allclose(
        again.predict_proba(X), model.partial_fit(X, Y).predict_proba(X), atol=1e-6
    )


def test_what_can_not_be_saved_is_named(tmp_path: Path) -> None:
    """A model that is not fitted, a class of nobody's, and one that is no longer known."""
    with pytest.raises(NotFittedError):
        small().save(tmp_path)
    with pytest.raises(ode.PersistenceError, match=r"dynamics can't be saved.*register"):
        small(dynamics=Decay).fit(X, Y).save(tmp_path)
    with pytest.raises(ode.PersistenceError, match=r"Mine is not one of the package's own"):
        Mine(max_epochs=1).fit(X, Y).save(tmp_path)
    small().fit(X, Y).save(tmp_path)
    document = json.loads((tmp_path / "model.json").read_text())
    document["estimator"] = "of_tomorrow"
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(ode.PersistenceError, match="'of_tomorrow', which is not known here"):
        ode.load(tmp_path)


def test_a_field_of_ones_own_comes_back_by_its_name(tmp_path: Path) -> None:
    """Once it is registered."""
    ode.register(Decay, name="decay_of_classes")
    model = small(dynamics=Decay).fit(X, Y)
    model.save(tmp_path)
    again = ode.load(tmp_path)
    assert again.dynamics == "local:decay_of_classes"
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
