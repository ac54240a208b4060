"""What the page on choosing a method says is what the methods do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from odeseries import solvers
from odeseries.plugins import get
from odeseries.solvers import solve
from odeseries.solvers.tableaux import Tableau


def rows() -> dict[str, dict[str, str]]:
    """Cells by method and heading, of both tables, whose columns the bars of = show."""
    lines = solvers.__doc__.splitlines()
    bars = [i for i, line in enumerate(lines) if line.startswith("=====")]
    found = {}
    for top, below, end in (bars[:3], bars[3:]):
        places = [match.span() for match in re.finditer("=+", lines[top])]
        table = [[line[a:b].strip() for a, b in places] for line in lines[top + 1 : end]]
        heads = table[0]
        for cells in table[below - top :]:
            found[cells[0].strip("`")] = dict(zip(heads, cells, strict=True))
    return found


ROWS = rows()
OWN = ["euler", "midpoint", "heun", "rk4", "dopri5", "tsit5"]


def test_the_tables_are_found() -> None:
    """With every method of the package's own."""
    assert {*OWN, "leapfrog", "euler_maruyama", "milstein", "stochastic_heun"} < set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_orders_are_those_of_the_classes(name: str) -> None:
    """Strong ones of stochastic methods; of methods that vary their order, the range."""
    cells, method = ROWS[name], get("solver", name)
    least, _, most = (cells.get("Order") or cells["Strong"]).partition(" ")
    if most.startswith("to"):
        assert float(least) <= method.order <= float(most.split()[-1])
    else:
        assert float(least) == method.order
    assert ("Strong" in cells) == bool(method.noise_types)


@pytest.mark.parametrize("name", OWN)
def test_calls_a_step_are_those_counted(name: str) -> None:
    """In the limit of many steps."""
    times = torch.tensor([0.0, 10.0], dtype=torch.float64)
    y0 = torch.ones(1, 1, dtype=torch.float64)
    stats = solve(lambda t, y: -y, y0, times, solver=name, n_steps=500, rtol=1e-9).stats
    tried = int(stats.accepted + stats.rejected)
    assert int(stats.nfe) // tried == int(ROWS[name]["Calls"])


def growth(tableau: Tableau, rate: complex) -> float:
    """Factor of the size of y' = rate y over a step of 1."""
    y, moves = 1.0 + 0j, []
    for stage in tableau.stages:
        y = 1 + sum(weight * move for weight, move in zip(stage, moves, strict=False))
        moves.append(rate * y)
    return abs(y)


@pytest.mark.parametrize(
    ("name", "decay", "turn"),
    [
        ("euler", 2, 0),
        ("midpoint", 2, 0),
        ("heun", 2, 0),
        ("rk4", 2.8, 2.8),
        ("dopri5", 3.3, 1.0),
        ("tsit5", 3.5, 0.47),
    ],
)
def test_stability_is_as_stated(name: str, decay: float, turn: float) -> None:
    """Stable to the bound along the axis, less 2 per cent, and not beyond it by as much."""
    tableau = get("solver", name).tableau
    within = np.linspace(0.01, 0.98, 50)
    assert max(growth(tableau, complex(-decay * s)) for s in within) <= 1
    assert growth(tableau, complex(-decay * 1.02)) > 1
    if turn:
        assert max(growth(tableau, 1j * turn * s) for s in within) <= 1 + 1e-12
    assert growth(tableau, 1j * (turn * 1.05 + 0.05)) > 1
