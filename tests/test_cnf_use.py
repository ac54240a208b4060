"""The density estimator in use: files, checkpoints, searches, progress, regularisers."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import odeseries as ode

SMALL = {
    "base": "normal",
    "preprocessing": "standard",
    "early_stopping": False,
    "dynamics_params": {"hidden": 8},
    "random_state": 0,
}


@pytest.fixture(scope="module")
def rows() -> Any:
    """Rows of three correlated numbers."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3)) + 5


def _small(**params: Any) -> ode.CNFDensityEstimator:
    return ode.CNFDensityEstimator(**{**SMALL, "max_epochs": 1, **params})


@pytest.mark.parametrize("objective", ["flow_matching", "likelihood"])
@pytest.mark.parametrize("name", ["folder", "file.zip"])
def test_saved_density_is_the_same(rows: Any, tmp_path: Path, objective: str, name: str) -> None:
    """Scores, draws and what is told of the fit come back."""
    base = "mixture" if objective == "likelihood" else "normal"
    model = _small(objective=objective, base=base).fit(rows)
    model.save(tmp_path / name)
    again = ode.load(tmp_path / name)
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
    draws = [m.sample(5, random_state=1) for m in (again, model)]
    np.testing.assert_array_equal(*draws)
    assert again.get_params() == model.get_params()
    assert again.solver_params_ == model.solver_params_
    assert again.history_.equals(model.history_)


def test_bent_features_have_a_density(tmp_path: Path) -> None:
    """Under powers it integrates to one, rows come back, and a file holds the powers."""
    X = np.exp(np.random.default_rng(0).normal(size=(60, 1)))
    model = _small(preprocessing="power", objective="flow_matching", base="normal").fit(X)
    grid = np.linspace(-30, 150, 3001)[:, None]
    assert np.exp(model.score_samples(grid)).sum() * 0.06 == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-4)
    model.save(tmp_path / "model.zip")
    again = ode.load(tmp_path / "model.zip")
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


def test_saved_conditional_density_is_the_same(rows: Any, tmp_path: Path) -> None:
    """Texts as classes come back too."""
    y = np.where(rows[:, 0] > 5, "high", "low")
    model = _small(conditional=True).fit(rows, y)
    model.save(tmp_path / "model.zip")
    again = ode.load(tmp_path / "model.zip")
    np.testing.assert_array_equal(again.score_samples(rows, y), model.score_samples(rows, y))


def test_pickle_and_clone(rows: Any) -> None:
    """A pickled density is the same; a clone is not fitted and fits to the same."""
    model = _small().fit(rows)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
    refitted = clone(model).fit(rows)
    np.testing.assert_array_equal(refitted.score_samples(rows), model.score_samples(rows))


def test_works_in_pipelines_and_searches(rows: Any) -> None:
    """Parameters of a step are searched by the log-density of rows held out."""
    pipe = make_pipeline(StandardScaler(), _small())
    grid = {"cnfdensityestimator__noise": [0.0, 20.0]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(rows)
    assert search.best_params_ == {"cnfdensityestimator__noise": 0.0}
    assert np.isfinite(search.score(rows))


class _KilledError(RuntimeError):
    """Stands for the death of the process."""


@pytest.mark.parametrize("objective", ["flow_matching", "likelihood"])
def test_killed_fit_goes_on(rows: Any, tmp_path: Path, objective: str) -> None:
    """A fit that died after an epoch ends where an undisturbed one does."""

    def dies(record: Any) -> None:
        if record["epoch"] == 1:
            raise _KilledError

    params = {"objective": objective, "max_epochs": 3, "base": "auto", "early_stopping": True}
    undisturbed = _small(**params).fit(rows)
    with pytest.raises(_KilledError):
        _small(**params, callbacks=dies, checkpoint_dir=tmp_path).fit(rows)
    resumed = _small(**params, checkpoint_dir=tmp_path).fit(rows)
    np.testing.assert_array_equal(resumed.score_samples(rows), undisturbed.score_samples(rows))
    assert not list(tmp_path.iterdir())


def test_progress_is_shown_and_recorded(rows: Any, capsys: Any) -> None:
    """A bar if asked for, a row of history an epoch, and callbacks that end a fit."""
    seen: list[int] = []

    def ends(record: Any) -> bool:
        seen.append(record["epoch"])
        return len(seen) == 2

    model = _small(max_epochs=5, verbose=True, callbacks=ends).fit(rows)
    assert seen == [0, 1]
    assert len(model.history_) == 2
    assert "training" in capsys.readouterr().err


def test_global_random_state_is_left_alone(rows: Any) -> None:
    """Neither fitting nor sampling draws from it."""
    np.random.seed(3)  # noqa: NPY002  # the global state is what is tested
    torch.manual_seed(3)
    model = _small().fit(rows)
    model.sample(3, random_state=0)
    drawn = np.random.rand(), float(torch.rand(()))  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    assert drawn == (np.random.rand(), float(torch.rand(())))  # noqa: NPY002


def test_without_a_seed_global_generators_are_left_alone(rows: Any) -> None:
    """Neither a fit nor draws read numpy's, and draws differ."""
    np.random.seed(3)  # noqa: NPY002  # the global state is what is tested
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    model = _small(random_state=None).fit(rows)
    draws = []
    for _ in range(2):
        draws.append(model.sample(3))
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
        np.random.seed(3)  # noqa: NPY002
    assert (draws[0] != draws[1]).all()


def test_dates_are_refused(rows: Any) -> None:
    """As data, beside numbers, and as conditions: their numbers depend on their unit."""
    dates = pd.date_range("2020", periods=80)
    mixed = pd.DataFrame({"x": rows[:, 0], "when": dates})
    with pytest.raises(ode.DataError, match=r"X holds dates .* in column 'when': turn them into"):
        _small().fit(mixed)
    with pytest.raises(ode.DataError, match="X holds dates"):
        _small().fit(rows[:, :1]).score_samples(dates.to_numpy()[:, None])
    with pytest.raises(ode.DataError, match=r"y holds dates .* in column 'when'"):
        _small(conditional=True).fit(rows, mixed)


@pytest.mark.parametrize("value", [3.0, 0.1])
@pytest.mark.parametrize(
    "params",
    [
        {"base": "auto", "preprocessing": "auto"},
        {"preprocessing": "whiten"},
        {"preprocessing": "power"},
        {"preprocessing": "standard"},
    ],
)
def test_equal_rows_have_a_density(params: Any, value: float) -> None:
    """It is finite, in the data's own units, and highest where the rows are."""
    model = _small(**params).fit(np.full((30, 2), value))
    there, beside = model.score_samples([[value, value], [value + 3, value]])
    assert np.isfinite([there, beside]).all()
    assert there > beside
    assert np.isfinite(model.sample(3, random_state=0)).all()


def test_a_constant_feature_keeps_its_unit() -> None:
    """Whitened or standardised, it takes the same part in the density."""
    X = np.column_stack([np.random.default_rng(0).normal(size=30), np.full(30, 3.0)])
    scores = [_small(preprocessing=kind).fit(X).score(X) for kind in ("standard", "whiten")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


@pytest.mark.parametrize("kind", ["auto", "power"])
def test_rows_of_no_weight_do_not_matter_for_equal_ones(rows: Any, kind: str) -> None:
    """Two equal rows are enough, and one has no density."""
    X, weights = rows.copy(), np.zeros(80)
    X[1] = X[0]
    weights[:2] = 1
    model = _small(preprocessing=kind, base="auto").fit(X, sample_weight=weights)
    assert np.isfinite(model.score_samples(X)).all()
    weights[0] = 0
    with pytest.raises(ode.DataError, match="Only the row at position 1 has a positive weight"):
        _small(preprocessing=kind).fit(X, sample_weight=weights)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (["a", None] * 40, "y is missing in 40 of 80 rows, the first at position 1"),
        (np.array([np.nan, 1.5] * 40), "y is missing in 40 of 80 rows, the first at position 0"),
        (np.array([1.5, np.inf] * 40), "y contains infinity"),
        (np.array(["a", 1] * 40, dtype=object), "y holds classes that do not sort"),
        (pd.DataFrame({"a": ["x"] * 80, "b": 1}), "holds no numbers .* give numbers, or classes"),
    ],
)
def test_conditions_are_checked_first(rows: Any, y: Any, text: str) -> None:
    """Before anything is learnt."""
    seen: list[Any] = []
    model = _small(conditional=True, callbacks=seen.append, preprocessing="auto", base="auto")
    with pytest.raises(ode.DataError, match=text):
        model.fit(rows, y)
    assert not seen
    assert not hasattr(model, "_space")


def test_columns_of_conditions_are_known_by_name(rows: Any, tmp_path: Path) -> None:
    """Swapped they are refused, after saving too; an array has the order of the fit."""
    y = pd.DataFrame({"a": rows[:, 0], "b": rows[:, 1]})
    model = _small(conditional=True).fit(rows, y)
    right = model.score_samples(rows, y)
    np.testing.assert_array_equal(model.score_samples(rows, y.to_numpy()), right)
    model.save(tmp_path / "model.zip")
    for one in (model, ode.load(tmp_path / "model.zip")):
        np.testing.assert_array_equal(one.score_samples(rows, y), right)
        with pytest.raises(ode.DataError, match=r"columns \['b', 'a'\], but the fit had"):
            one.score_samples(rows, y[["b", "a"]])
        with pytest.raises(ode.DataError, match="give them in that order"):
            one.sample(2, y[["b", "a"]])


def test_classes_of_another_type_or_shape_are_refused(rows: Any) -> None:
    """Texts are not the numbers that they spell, however many classes there are."""
    labels = np.arange(len(rows)) % 20
    model = _small(conditional=True).fit(rows, labels)
    with pytest.raises(ValueError, match=r"not in the fit.*: \['0', '1'"):
        model.score_samples(rows, labels.astype(str))
    with pytest.raises(ValueError, match=r"shape \(80, 1\) must hold a class for every row"):
        model.score_samples(rows, labels[:, None])


@pytest.mark.parametrize("n_samples", [2.5, "3", 0, None])
def test_number_of_draws_is_whole(rows: Any, n_samples: Any) -> None:
    """Anything else is refused with its value."""
    with pytest.raises(ValueError, match=f"n_samples={n_samples!r} must be a whole number"):
        _small().fit(rows).sample(n_samples)


def test_costs_of_paths_shorten_them() -> None:
    """With a weight on the kinetic energy points of the base are nearer to their rows."""
    X = np.random.default_rng(0).gamma(1.0, size=(100, 1))
    moved = []
    for weight in (0.0, 10.0):
        model = _small(objective="likelihood", kinetic=weight, jacobian=weight, max_epochs=3)
        inner = (X - X.mean()) / X.std()
        moved.append(np.abs(model.fit(X).transform(X) - inner).mean())
    assert moved[1] < 0.7 * moved[0]


def test_time_is_limited(rows: Any) -> None:
    """A fit ends in about the time that it may take."""
    model = _small(max_epochs=10_000, max_time=1.0).fit(rows)
    assert model.history_["seconds"].sum() < 10


def test_unknown_device_is_refused(rows: Any) -> None:
    """By name."""
    with pytest.raises(ValueError, match="device='tpu9' is unknown"):
        _small(device="tpu9").fit(rows)


def test_own_dynamics_may_be_the_field(rows: Any) -> None:
    """A class without inputs or a closed divergence, which sees the state alone."""

    class Own(ode.Dynamics):
        """Slopes by one layer."""

        def __init__(self, dim: int) -> None:
            super().__init__(dim)
            self.layer = torch.nn.Linear(dim, dim)

        def forward(self, t: Any, state: Any, inputs: Any = None) -> Any:
            """Bounded slope."""
            return torch.tanh(self.layer(state))

    model = _small(dynamics=Own, dynamics_params=None, objective="likelihood").fit(rows)
    again = model.inverse_transform(model.transform(rows))
    np.testing.assert_allclose(again, rows, atol=1e-4)


@pytest.mark.parametrize("dynamics", ["mlp", "fourier"])
def test_registered_dynamics_may_be_the_field(rows: Any, dynamics: str) -> None:
    """Those that move a vector as a state of its own dimension."""
    model = _small(dynamics=dynamics, dynamics_params=None, objective="likelihood").fit(rows)
    assert np.isfinite(model.score_samples(rows)).all()


# Case 35 of the field: a noisy trace estimate.


@torch.no_grad()
def _log_density(flow: Any, x: Any, probes: Any) -> Any:
    return flow.log_density(x, x[:, :0], probes)


def test_estimated_density_is_unbiased_and_repeatable(rows: Any) -> None:
    """On one fitted model: the mean over probes is exact, the spread falls as their root."""
    flow = _small(objective="likelihood", max_epochs=3).fit(rows).flow_.double()
    flow = flow.with_options({"n_steps": 1})
    x, rng = torch.from_numpy((rows[:20] - rows.mean(0)) / rows.std(0)), np.random.default_rng(0)
    exact = _log_density(flow, x, x[None])
    flow.velocity.exact = flow.velocity.closed = False
    spreads = []
    for n_probes in (1, 10, 100):
        signs = torch.from_numpy(rng.choice([-1.0, 1.0], (12, n_probes, 1, 3)))
        estimates = torch.stack([_log_density(flow, x, probes) for probes in signs])
        spreads.append(float(estimates.std(0).mean()))
        bias = (estimates - exact).mean(0).abs().mean()
        assert float(bias) < 2 * spreads[-1] / 12**0.5
        assert torch.equal(estimates[0], _log_density(flow, x, signs[0]))
    assert spreads[0] / spreads[2] == pytest.approx(10, rel=0.5)


def test_probes_do_not_change_within_a_solution(rows: Any) -> None:
    """An adaptive method needs about as many evaluations as with the exact divergence."""
    counts = []
    for divergence in ("exact", "hutchinson"):
        model = _small(objective="likelihood", divergence=divergence, solver="dopri5").fit(rows)
        calls: list[int] = []
        handle = model.flow_.velocity.dynamics.register_forward_pre_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        with warnings.catch_warnings():
            model.score_samples(rows)
        handle.remove()
        counts.append(len(calls))
    assert counts[1] <= 2 * counts[0] + 20


# Case 43: one class, or a class too rare for a hold-out.


def test_single_and_rare_classes_are_conditions_too(rows: Any) -> None:
    """One class only, and 1 row of 80: no class is lost, no density is NaN."""
    alone = _small(conditional=True).fit(rows, ["a"] * 80)
    assert np.isfinite(alone.score_samples(rows, ["a"] * 80)).all()
    y = ["rare"] + ["common"] * 79
    model = _small(conditional=True, early_stopping=True, base="auto").fit(rows, y)
    assert np.isfinite(model.score_samples(rows, y)).all()
    assert np.isfinite(model.sample(3, ["rare"], random_state=0)).all()


def test_frames_go_to_the_base_space_and_back(rows: Any) -> None:
    """Their names are those of the data on one side only, and nothing warns of missing ones."""
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    model = _small().fit(frame).set_output(transform="pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = model.transform(frame)
        np.testing.assert_allclose(model.inverse_transform(points), rows, atol=1e-4)
        np.testing.assert_array_equal(
            model.inverse_transform(points.to_numpy()), model.inverse_transform(points)
        )
        draws = model.sample(5, random_state=1)
        same, log_density = model.sample_with_log_density(5, random_state=1)
        np.testing.assert_array_equal(draws, same)
        right = model.score_samples(pd.DataFrame(draws, columns=frame.columns))
    np.testing.assert_array_equal(log_density, right)


def test_points_of_another_space_are_refused(rows: Any) -> None:
    """With what was given, and what is needed."""
    model = _small().fit(rows)
    with pytest.raises(
        ValueError, match="X has 2 features, but CNFDensityEstimator is expecting 3"
    ):
        model.inverse_transform(rows[:, :2])
    with pytest.raises(ValueError, match="X contains NaN"):
        model.inverse_transform(np.full((1, 3), np.nan))


def test_the_audit_looks_at_rows_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sorted data not the first; with the same seed the same."""
    seen = []

    def watched(flow: Any, x: Any, condition: Any, probes: Any) -> Any:
        seen.append(x)
        return flow.options, 0.0

    monkeypatch.setattr("odeseries.cnf.fitting.audited", watched)
    X = np.linspace(-1, 1, 600)[:, None]
    for _ in range(2):
        _small().fit(X)
    assert torch.equal(*seen)
    assert seen[0].shape == (200, 1)
    assert seen[0].min() < -1.6
    assert seen[0].max() > 1.6
