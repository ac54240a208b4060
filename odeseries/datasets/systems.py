"""Generated dynamical systems with conserved quantities, observed at random times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

from odeseries.datasets.observing import observed
from odeseries.panel import Float64

__all__ = ["make_lotka_volterra", "make_pendulum", "make_spring", "make_two_body"]

TOLERANCE = 1e-10


def make_lotka_volterra(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    noise: float = 0.02,
    missing: float = 0.0,
    duration: float = 20.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Prey and predator from random starts.

    :math:`\dot x = \frac23 x - \frac43 x y`, :math:`\dot y = x y - y`, which conserves
    :math:`x - \ln x + \frac43 y - \frac23 \ln y`. Without noise both stay positive.

    Parameters
    ----------
    n_series, n_obs : int
        Series, and observations of each.
    noise : float
        Standard deviation of the normal observation noise.
    missing : float
        Probability in [0, 1) that an entry is hidden; one entry of every row stays.
    duration : float
        Times are uniform in ``[0, duration]``.
    random_state : int or None
        Seed.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 2)
        Columns ``prey`` and ``predator`` under the index (series, time).

    References
    ----------
    Lotka, A. J. (1920). Analytical Note on Certain Rhythmic Relations in Organic Systems.
    PNAS 6, 410.

    Examples
    --------
    >>> from odeseries.datasets import make_lotka_volterra
    >>> make_lotka_volterra(3, 10).shape
    (30, 2)
    """
    rng = np.random.default_rng(random_state)

    def field(t: float, state: Float64) -> list[float]:
        prey, predator = state
        return [prey * (2 - 4 * predator) / 3, predator * (prey - 1)]

    def path(times: Float64) -> Float64:
        return _solved(field, rng.uniform(0.5, 1.5, 2), times)

    return observed(path, ["prey", "predator"], n_series, n_obs, noise, duration, rng, missing)


def make_spring(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    noise: float = 0.02,
    missing: float = 0.0,
    duration: float = 10.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Masses on springs of one stiffness, with random amplitudes and phases.

    :math:`\ddot q = -q`, in closed form; the energy :math:`(q^2 + v^2) / 2` lies between 0.02
    and 0.5.

    Parameters
    ----------
    n_series, n_obs, noise, missing, duration, random_state
        As in `make_lotka_volterra`.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 2)
        Columns ``position`` and ``velocity`` under the index (series, time).

    References
    ----------
    Greydanus, S., Dzamba, M., Yosinski, J. (2019). Hamiltonian Neural Networks. NeurIPS.
    Section 3, task 1.

    Examples
    --------
    >>> from odeseries.datasets import make_spring
    >>> make_spring(3, 10).shape
    (30, 2)
    """
    rng = np.random.default_rng(random_state)

    def path(times: Float64) -> Float64:
        amplitude, phase = rng.uniform(0.2, 1.0), 2 * np.pi * rng.random()
        return amplitude * np.column_stack([np.cos(times + phase), -np.sin(times + phase)])

    return observed(path, ["position", "velocity"], n_series, n_obs, noise, duration, rng, missing)


def make_pendulum(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    noise: float = 0.02,
    missing: float = 0.0,
    duration: float = 20.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Pendulums that swing up to 2.8 rad, where the sine is far from its argument.

    :math:`\ddot\theta = -\sin\theta`, which conserves :math:`v^2 / 2 + 1 - \cos\theta`.

    Parameters
    ----------
    n_series, n_obs, noise, missing, duration, random_state
        As in `make_lotka_volterra`.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 2)
        Columns ``angle`` (rad, 0 at rest) and ``velocity`` under the index (series, time).

    References
    ----------
    Greydanus, S., Dzamba, M., Yosinski, J. (2019). Hamiltonian Neural Networks. NeurIPS.
    Section 3, task 2.

    Examples
    --------
    >>> from odeseries.datasets import make_pendulum
    >>> make_pendulum(3, 10).shape
    (30, 2)
    """
    rng = np.random.default_rng(random_state)

    def path(times: Float64) -> Float64:
        start = rng.uniform([-2.0, -1.0], [2.0, 1.0])
        return _solved(lambda t, state: [state[1], -np.sin(state[0])], start, times)

    return observed(path, ["angle", "velocity"], n_series, n_obs, noise, duration, rng, missing)


def make_two_body(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    noise: float = 0.02,
    missing: float = 0.0,
    duration: float = 20.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Two bodies of mass 1 around their common centre, attracted by gravity with :math:`G = 1`.

    :math:`\ddot r = -2 r / |r|^3` for the way :math:`r` from the second to the first, which
    conserves energy and angular momentum. The orbits are ellipses of random eccentricity up to
    0.5, size and direction.

    Parameters
    ----------
    n_series, n_obs, noise, missing, duration, random_state
        As in `make_lotka_volterra`.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 8)
        Columns ``x1, y1, x2, y2`` (positions) and ``vx1, vy1, vx2, vy2`` (velocities) under the
        index (series, time).

    References
    ----------
    Greydanus, S., Dzamba, M., Yosinski, J. (2019). Hamiltonian Neural Networks. NeurIPS.
    Section 4.

    Examples
    --------
    >>> from odeseries.datasets import make_two_body
    >>> make_two_body(3, 10).shape
    (30, 8)
    """
    rng = np.random.default_rng(random_state)

    def field(t: float, state: Float64) -> Float64:
        way = state[:2]
        return np.concatenate([state[2:], -2 * way / np.linalg.norm(way) ** 3])

    def path(times: Float64) -> Float64:
        nearest, eccentricity = rng.uniform(0.8, 1.2), rng.uniform(0.0, 0.5)
        angle = 2 * np.pi * rng.random()
        outwards = np.array([np.cos(angle), np.sin(angle)])
        speed = np.sqrt(2 * (1 + eccentricity) / nearest)  # at the nearest point of the ellipse
        start = np.concatenate([nearest * outwards, speed * np.array([-outwards[1], outwards[0]])])
        way = _solved(field, start, times) / 2
        return np.hstack([way[:, :2], -way[:, :2], way[:, 2:], -way[:, 2:]])

    columns = ["x1", "y1", "x2", "y2", "vx1", "vy1", "vx2", "vy2"]
    return observed(path, columns, n_series, n_obs, noise, duration, rng, missing)


def _solved(
    field: Callable[[float, Float64], Float64 | list[float]], start: Float64, times: Float64
) -> Float64:
    """States at rising times from a start at time 0, shape (n_times, n_states)."""
    if not times.any():
        return np.tile(start, (len(times), 1))
    solution = solve_ivp(
        field,
        (0.0, times[-1]),
        start,
        method="DOP853",
        t_eval=times,
        rtol=TOLERANCE,
        atol=TOLERANCE,
    )
    return np.asarray(solution.y.T)
