"""Real and generated irregular series."""

from odeseries.datasets.generators import make_damped_spirals, make_periodic
from odeseries.datasets.loaders import (
    list_datasets,
    load_antarctic_co2,
    load_co2,
    load_glucose,
    load_lynx_hare,
    load_sunspots,
    load_variable_stars,
)
from odeseries.datasets.processes import make_double_ou
from odeseries.datasets.systems import (
    make_lotka_volterra,
    make_pendulum,
    make_spring,
    make_two_body,
)

__all__ = [
    "list_datasets",
    "load_antarctic_co2",
    "load_co2",
    "load_glucose",
    "load_lynx_hare",
    "load_sunspots",
    "load_variable_stars",
    "make_damped_spirals",
    "make_double_ou",
    "make_lotka_volterra",
    "make_pendulum",
    "make_periodic",
    "make_spring",
    "make_two_body",
]
