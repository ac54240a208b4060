"""Damped oscillations, driven by what is known, that least squares finds in windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import least_squares
from torch import Tensor

from odeseries.driving import InputPath
from odeseries.windows import Batch

__all__ = ["Excerpt", "Oscillations", "acceleration"]

Float64 = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

SLOWEST = 0.05
RATIOS = (0.004, 0.02, 0.1, 0.4)
LEAST_RATIO, LARGEST_RATIO = 1e-3, 0.95
N_FREQUENCIES = 24
MOST_SOLVES = 30
RIDGE = 1e-6
STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Excerpt:
    """One channel in some windows, and what drives it between its points.

    Attributes
    ----------
    times : ndarray of shape (n, n_points)
        Since the first node of the window, on the clock of the dynamics.
    values, weights : ndarray of shape (n, n_points)
        Standardised values, and 1 where there is one, else 0.
    known : ndarray of shape (n, n_points, n_inputs)
        Inputs at the points.
    place : ndarray of int64, shape (n, n_points)
        Node that is the point.
    gaps : ndarray of shape (n, n_nodes - 1)
        Between the nodes, which are the points and the knots of the inputs.
    between : ndarray of shape (n, n_nodes - 1, n_inputs)
        Inputs halfway between two nodes.
    """

    times: Float64
    values: Float64
    weights: Float64
    known: Float64
    place: npt.NDArray[np.int64]
    gaps: Float64
    between: Float64

    @classmethod
    def of(cls, batch: Batch, path: InputPath | None, pace: float, channel: int) -> Excerpt:
        """The rows before the queries, and the queries, of all windows of a batch."""
        left = batch.left
        rows = torch.arange(left.ages.shape[1]) < left.length[:, None]
        times = torch.cat([-left.ages, left.lead], 1).double() * pace
        values = torch.cat([left.values[..., channel], batch.targets[..., channel]], 1)
        seen = torch.cat([left.mask[..., channel], batch.observed[..., channel]], 1)
        real = torch.cat([rows & left.present[:, None], batch.asked], 1)
        nodes = times if path is None else torch.cat([times, path.times.double()], 1)
        # Knots before the first row drive nothing that is looked at.
        first = torch.where(real, times, torch.inf).amin(1, keepdim=True)
        first = torch.where(torch.isfinite(first), first, 0.0)
        nodes, order = nodes.clamp(min=first).sort(1)
        place = order.argsort(1)[:, : times.shape[1]]
        middles = (nodes[:, 1:] + nodes[:, :-1]) / 2
        return cls(
            (times - first).clamp(min=0).numpy(),
            values.double().numpy(),
            (seen * real).double().numpy(),
            _driven(path, times),
            place.numpy(),
            nodes.diff(dim=1).numpy(),
            _driven(path, middles),
        )

    def responses(self, roots: Complex) -> Complex:
        r"""Solutions of :math:`\dot z = \lambda z + u` from rest at the first node.

        Inputs are held between nodes at what they are halfway, with an error of second order.

        Parameters
        ----------
        roots : ndarray of complex, shape (n_roots,)

        Returns
        -------
        ndarray of complex, shape (n_roots, n, n_points, n_inputs)
        """
        factor = roots[:, None, None]
        decay = np.exp(factor * self.gaps)
        gain = np.expm1(factor * self.gaps) / factor
        state = np.zeros((len(roots), len(self.gaps), self.between.shape[2]), dtype=complex)
        states = [state]
        for k in range(self.gaps.shape[1]):
            state = decay[..., k, None] * state + gain[..., k, None] * self.between[None, :, k]
            states.append(state)
        return np.take_along_axis(np.stack(states, 2), self.place[None, :, :, None], 2)


def _driven(path: InputPath | None, times: Tensor) -> Float64:
    """Inputs at times (n, n_times); shape (n, n_times, n_inputs)."""
    if path is None:
        return np.zeros((*times.shape, 0))
    return np.asarray(path(times[..., None].float()).double().numpy())


@dataclass(frozen=True, eq=False)
class Oscillations:
    r"""A channel as a sum of :math:`q_k`, :math:`\ddot q_k = -s_k q_k - d_k \dot q_k + b_k^\top u`.

    Attributes
    ----------
    stiffness, damping : ndarray of shape (n,)
    gain : ndarray of shape (n, n_inputs)
    direct : ndarray of shape (n_direct,)
        By how much the first inputs move the channel at once.
    level : float
        What is added to all that.
    """

    stiffness: Float64
    damping: Float64
    gain: Float64
    direct: Float64
    level: float

    @classmethod
    def found(
        cls, excerpts: list[Excerpt], n: int, fastest: float, n_direct: int
    ) -> Oscillations | None:
        """The oscillations that explain a channel best, one after another and then all together.

        What every window was doing when it began is left open. Frequencies and dampings are the
        only unknowns that are not linear, so that the others are solved for (variable projection:
        Golub, G., Pereyra, V. (1973). SIAM Journal on Numerical Analysis 10, sections 2 and 5).

        Parameters
        ----------
        excerpts : list of Excerpt
        n : int
            How many oscillations.
        fastest : float
            Highest angular frequency.
        n_direct : int
            How many of the inputs, the first ones, may also move the channel at once.

        Returns
        -------
        Oscillations or None
            None where less was observed than there are unknowns.
        """
        if not excerpts:
            return None
        problem = _Problem(excerpts, n_direct)
        if problem.n_free(n) <= 0:
            return None
        shape = np.zeros((0, 2))
        for _ in range(n):
            shape = problem.improved(problem.extended(shape, fastest), fastest)
        roots = _roots(shape)
        gain, level, direct = problem.parts(problem.solved(roots[None])[0][0], n)
        return cls(np.abs(roots) ** 2, -2 * roots.real, gain, direct, level)


class _Problem:
    """Least squares of one channel, by the frequencies and damping ratios of some oscillations."""

    def __init__(self, excerpts: list[Excerpt], n_direct: int) -> None:
        self.excerpts, self.n_direct = excerpts, n_direct
        self.n_inputs = excerpts[0].between.shape[2]

    def n_free(self, n: int) -> float:
        """Observations beyond the unknowns."""
        seen = sum(float((e.weights.sum(1) - 2 * n).clip(0).sum()) for e in self.excerpts)
        return float(seen - 1 - n * (2 + self.n_inputs) - self.n_direct)

    def solved(self, roots: Complex) -> tuple[Float64, Float64]:
        """For some sets of roots (m, n) the linear unknowns (m, n_unknowns), and what is left."""
        parts = [self._projected(e, roots) for e in self.excerpts]
        columns = np.concatenate([x for x, _ in parts], 1)
        values = np.concatenate([y for _, y in parts], 1)
        square = columns.swapaxes(1, 2) @ columns
        ridge = RIDGE * np.trace(square, axis1=1, axis2=2)[:, None, None] + 1e-12
        square = square + ridge * np.eye(square.shape[1])
        found = np.linalg.solve(square, columns.swapaxes(1, 2) @ values[..., None])
        return found[..., 0], values - (columns @ found)[..., 0]

    def _projected(self, excerpt: Excerpt, roots: Complex) -> tuple[Float64, Float64]:
        """Columns (m, n_rows, n_unknowns) and values without what free oscillations explain."""
        m, n = roots.shape
        weights = excerpt.weights[None, :, :, None]
        free = np.exp(roots[:, None, None] * excerpt.times[None, :, :, None])
        free = np.concatenate([free.real, free.imag], -1) * weights
        answers = excerpt.responses(roots.reshape(-1)) / roots.imag.reshape(-1, 1, 1, 1)
        driven = answers.imag.reshape(m, n, *answers.shape[1:])
        driven = np.moveaxis(driven, 1, 3).reshape(m, *answers.shape[1:3], -1)
        known = excerpt.known[..., : self.n_direct]
        always = np.concatenate([np.ones_like(excerpt.times)[..., None], known], -1)
        always = np.broadcast_to(always, (m, *always.shape))
        values = np.broadcast_to(excerpt.values[..., None], (m, *excerpt.values.shape, 1))
        rows = np.concatenate([driven, always, values], -1) * weights
        basis = np.linalg.qr(free)[0]
        rows = (rows - basis @ (basis.swapaxes(-1, -2) @ rows)).reshape(m, -1, rows.shape[-1])
        return rows[..., :-1], rows[..., -1]

    def parts(self, solution: Float64, n: int) -> tuple[Float64, float, Float64]:
        """Gains (n, n_inputs), level and direct gains among the linear unknowns."""
        count = n * self.n_inputs
        gain = solution[:count].reshape(n, self.n_inputs)
        return gain, float(solution[count]), solution[count + 1 :]

    def extended(self, shape: Float64, fastest: float) -> Float64:
        """One more oscillation: the best one of a grid."""
        trials = [
            np.vstack([shape, [np.log(frequency), np.log(ratio)]])
            for ratio in RATIOS
            for frequency in np.geomspace(SLOWEST, fastest, N_FREQUENCIES)
        ]
        losses = [
            (self.solved(_roots(some))[1] ** 2).sum(1)
            for some in np.array_split(np.array(trials), len(RATIOS))
        ]
        return trials[int(np.concatenate(losses).argmin())]

    def improved(self, shape: Float64, fastest: float) -> Float64:
        """The nearest best frequencies and damping ratios."""
        low, high = (
            np.broadcast_to(np.log(bound), shape.shape).ravel()
            for bound in ((SLOWEST / 2, LEAST_RATIO), (2 * fastest, LARGEST_RATIO))
        )

        def left(x: Float64) -> Float64:
            rows: Float64 = self.solved(_roots(x.reshape(1, -1, 2)))[1][0]
            return rows

        def slopes(x: Float64) -> Float64:
            moved = np.concatenate([x[None], x + STEP * np.eye(len(x))])
            rows = self.solved(_roots(moved.reshape(len(moved), -1, 2)))[1]
            return np.asarray((rows[1:] - rows[0]).T / STEP)

        start = np.clip(shape.ravel(), low + 1e-6, high - 1e-6)
        found = least_squares(left, start, slopes, (low, high), max_nfev=MOST_SOLVES)
        return np.asarray(found.x).reshape(-1, 2)


def acceleration(channels: list[Oscillations], n_positions: int) -> tuple[Tensor, Tensor]:
    """The linear equation of positions whose first ones are the channels.

    Every channel is its level and the sum of its oscillations. The first of them follows from the
    others, which are the further positions: one for each channel after another, in turns.

    Parameters
    ----------
    channels : list of Oscillations
    n_positions : int

    Returns
    -------
    weight : Tensor of shape (n_positions, 2 * n_positions + n_inputs)
        Of positions, velocities and inputs.
    bias : Tensor of shape (n_positions,)
    """
    n, n_inputs = n_positions, channels[0].gain.shape[1]
    weight, bias = np.zeros((n, 2 * n + n_inputs)), np.zeros(n)
    for c, found in enumerate(channels):
        others = list(range(c + len(channels), n, len(channels)))
        bias[c] = found.stiffness[0] * found.level
        weight[c, 2 * n :] = found.gain.sum(0)
        for k, part in enumerate((found.stiffness, found.damping)):
            weight[c, k * n + c] = -part[0]
            for at, own in zip(others, part[1:], strict=True):
                weight[c, k * n + at] = part[0] - own
                weight[at, k * n + at] = -own
        weight[others, 2 * n :] = found.gain[1:]
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


def _roots(shape: Float64) -> Complex:
    r""":math:`\omega (-\zeta + i \sqrt{1 - \zeta^2})` of logarithms of both, (..., 2)."""
    frequency, ratio = np.exp(shape[..., 0]), np.exp(shape[..., 1])
    return np.asarray(frequency * (-ratio + 1j * np.sqrt(1 - ratio**2)))
