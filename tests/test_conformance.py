"""Everything that the package offers obeys the laws that plugins must obey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odeseries import plugins
from odeseries.testing import conforms

TestCheck = Callable[[], None]

QUARTIC = (
    "torchdiffeq steps past the times asked for and interpolates by a quartic, whose error the "
    "tolerances do not govern"
)
CLOSED = "everything is found in closed form: there is nothing to be trained"
FAULTY = [f"torchdiffeq:{name}" for name in ("dopri8", "bosh3", "fehlberg2", "implicit_adams")]


def named(kind: Any, *names: str) -> list[type]:
    """Classes by their names."""
    return [plugins.get(kind, name) for name in names]


def offered(kind: Any, *, but: Any = ()) -> list[type]:
    """Classes of all built-ins of a kind, each once, whatever they will be."""
    names = plugins.listing()[0].provides[kind]
    others = named(kind, *but)
    return [c for c in dict.fromkeys(named(kind, *names)) if c not in others]


@conforms(*offered("dynamics", but=["convolutional"]))
def test_dynamics(check: TestCheck) -> None:
    """Every dynamics of vectors."""
    check()


@conforms(
    *named("dynamics", "convolutional"),
    expected_failures={
        "trains_in_a_forecaster": "it moves images, and a forecaster's states are vectors",
    },
)
def test_convolutional(check: TestCheck) -> None:
    """The dynamics of images."""
    check()


@conforms(*offered("solver", but=FAULTY))
def test_solvers(check: TestCheck) -> None:
    """Every solver but those below."""
    check()


@conforms(
    *named("solver", "torchdiffeq:dopri8"),
    expected_failures={"the_clock_reaches_the_field": QUARTIC},
)
def test_dopri8(check: TestCheck) -> None:
    """Its steps are long."""
    check()


@conforms(
    *named("solver", "torchdiffeq:bosh3"),
    expected_failures={
        "tolerances_govern_the_error": QUARTIC,
        "the_clock_reaches_the_field": QUARTIC,
    },
)
def test_bosh3(check: TestCheck) -> None:
    """Its interpolation is of a higher order than its steps are made for."""
    check()


@conforms(
    *named("solver", "torchdiffeq:fehlberg2"),
    expected_failures={
        "tolerances_govern_the_error": "its estimate of the error is far too small",
    },
)
def test_fehlberg2(check: TestCheck) -> None:
    """The pair is of historical interest."""
    check()


@conforms(
    *named("solver", "torchdiffeq:implicit_adams"),
    expected_failures={
        "observed_order_is_the_stated_one": "the corrector is of order 5, and only its first "
        "steps, of order 4, hold it to the stated one",
    },
)
def test_implicit_adams(check: TestCheck) -> None:
    """It is better than it says."""
    check()


@conforms(*named("forecaster", "latent_ode"), params={"latent_dim": 8, "hidden": 8})
def test_latent_ode(check: TestCheck) -> None:
    """The latent ODE."""
    check()


@conforms(
    *named("forecaster", "latent_sde"),
    params={
        "latent_dim": 2,
        "hidden": 8,
        "n_paths": 16,
        "dynamics_params": {"hidden": 8},
        "solver_params": {"step": 0.5},
    },
)
def test_latent_sde(check: TestCheck) -> None:
    """The latent SDE."""
    check()


@conforms(*named("forecaster", "ode_rnn"), params={"hidden": 8, "solver_params": {"step": 0.5}})
def test_ode_rnn(check: TestCheck) -> None:
    """The ODE-RNN."""
    check()


@conforms(
    *named("forecaster", "baseline"),
    expected_failures={
        "loss_is_one_number_per_window": CLOSED,
        "training_lowers_the_loss": CLOSED,
    },
)
def test_baseline(check: TestCheck) -> None:
    """The simple methods."""
    check()


@conforms(
    *named("forecaster", "boosted"),
    params={"n_rounds": 5},
    expected_failures={
        "loss_is_one_number_per_window": CLOSED,
        "training_lowers_the_loss": CLOSED,
    },
)
def test_boosted(check: TestCheck) -> None:
    """Boosted trees on what a regression leaves."""
    check()


@conforms(
    *named("forecaster", "forest"),
    params={"n_trees": 5},
    expected_failures={
        "loss_is_one_number_per_window": CLOSED,
        "training_lowers_the_loss": CLOSED,
    },
)
def test_forest(check: TestCheck) -> None:
    """The forest of random trees."""
    check()


@conforms(
    *named("forecaster", "linear_sde"),
    params={"n_rows": 16},
    expected_failures={
        "loss_is_one_number_per_window": CLOSED,
        "training_lowers_the_loss": CLOSED,
    },
)
def test_linear_sde(check: TestCheck) -> None:
    """The linear stochastic differential equation."""
    check()


@conforms(
    *named("forecaster", "neural_ode"),
    params={"dynamics_params": {"hidden": 8, "depth": 1}, "hidden": 8},
)
def test_neural_ode(check: TestCheck) -> None:
    """The neural ODE."""
    check()


def test_every_forecaster_is_tested() -> None:
    """Forecasters need small sizes to be quick, so each has a test of its own here."""
    assert set(offered("forecaster")) == set(
        named(
            "forecaster",
            "baseline",
            "boosted",
            "forest",
            "latent_ode",
            "latent_sde",
            "linear_sde",
            "neural_ode",
            "ode_rnn",
        )
    )
