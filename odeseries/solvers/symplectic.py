"""Leapfrog: steps of positions and velocities that keep the energy of a conservative field."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import SolveOptions, SolverStats, VectorField
from odeseries.nets import rolled_up
from odeseries.solvers.dependencies import dependencies
from odeseries.solvers.gradients import input_gradients
from odeseries.solvers.pacing import FixedPace
from odeseries.solvers.runge_kutta import FixedRows
from odeseries.solvers.stepping import Scheme, Step
from odeseries.solvers.tableaux import Row

__all__ = ["Leapfrog"]

ROUNDS = 4
"""Evaluations spent on each of the two implicit equations of a step."""
SAME = 16
"""Rounding errors by which derivatives may differ that are the same."""
HERMITE = ((1.0, -2.0, 1.0), (0.0, 3.0, -2.0), (0.0, -1.0, 1.0))
"""Cubic of the slope at the start, the change, and the slope at the end of a step."""


class Leapfrog(FixedRows):
    r"""Leapfrog, the Stoermer-Verlet method, as kick, drift and kick: order 2, symplectic.

    The state is in two halves, positions q and velocities or momenta p, whose derivatives are f
    and g:

    .. math::
        p_{n+1/2} &= p_n + \tfrac h2 g(t_n, q_n, p_{n+1/2}), \\
        q_{n+1} &= q_n + \tfrac h2 \left(f(t_n, q_n, p_{n+1/2})
                   + f(t_{n+1}, q_{n+1}, p_{n+1/2})\right), \\
        p_{n+1} &= p_{n+1/2} + \tfrac h2 g(t_{n+1}, q_{n+1}, p_{n+1/2}).

    Where f depends on p alone and g on q and t alone (separable Hamiltonians, springs, planets)
    the equations are explicit, and a step takes three evaluations. Any other field, such as a
    damped or a general Hamiltonian one, is integrated by the generalised leapfrog: the two
    implicit equations are solved by four rounds of fixed-point iteration, which takes seven
    evaluations a step. Whether the rounds are needed is seen from the first two evaluations of
    each half, which agree to the last bit where they are not, and at the first step from their
    derivatives by what is learned, such as a damping that is zero yet.

    Symplectic: the energy of a conservative field oscillates, but does not drift over long
    spans, where that of Runge-Kutta methods does. With the iteration this holds as far as it
    converges, its error being of the order :math:`(h L)^4` for a field of Lipschitz constant L;
    the order of 2 holds for any field. Choose it for long spans of conservative dynamics, and
    ``rk4`` for short ones or damped fields. A step longer than 1 / pi of the shortest period is
    unstable.

    Steps, grids and interpolation are those of the other methods of fixed steps.

    References
    ----------
    Hairer, E., Lubich, C., Wanner, G. (2006). Geometric Numerical Integration. Second edition.
    Section I.1.4 (separable), equation (VI.3.4) (general), theorem IX.8.1 (energy).
    """

    order: ClassVar[float] = 2
    polynomials: ClassVar[tuple[Row, ...]] = HERMITE

    def scheme(self, options: SolveOptions) -> Scheme:
        """Kick, drift and kick."""
        return _KickDriftKick(options.parameters)

    def check(self, y0: Tensor) -> None:
        """Refuse a state that can't be positions and velocities."""
        if y0.shape[-1] % 2:
            raise SolverError(
                f"Leapfrog needs states in two halves, positions and velocities, but y0 has "
                f"{y0.shape[-1]} coordinates: give a second-order or Hamiltonian dynamics, or use "
                f"another method, such as 'rk4'."
            )

    def stats(self, scheme: Scheme, pace: FixedPace, before: int) -> SolverStats:
        """As many evaluations as were called for."""
        assert isinstance(scheme, _KickDriftKick)
        return scheme.stats(pace.counts, before)


class _KickDriftKick:
    """The scheme, which remembers whether the field has called for iteration."""

    def __init__(self, parameters: tuple[Tensor, ...]) -> None:
        self.parameters = parameters
        self.explicit = True
        self.evaluations = [0]

    def __call__(
        self,
        field: VectorField,
        t: Tensor,
        h: Tensor,
        y: Tensor,
        slope: Tensor,
        *,
        closing: bool,
    ) -> Step:
        """Take one step."""
        asked = _Asked(field)
        after = self._explicit(asked, t, h, y, slope) if self.explicit else None
        if after is None:
            self.explicit = False
            after = _iterated(asked, t, h, y, slope)
        self.evaluations.append(self.evaluations[-1] + asked.count + 1)
        end = field(t + h, after) if closing else None
        # Without a slope at the end nothing is interpolated, and nothing of the step is kept.
        moves = [] if end is None else [h * slope, after - y, h * end]
        return Step(after, end, moves)

    def _explicit(
        self, asked: _Asked, t: Tensor, h: Tensor, y: Tensor, slope: Tensor
    ) -> Tensor | None:
        """Step as if the equations were explicit; None if they are not."""
        (q, p), force = y.chunk(2, -1), slope.chunk(2, -1)[1]
        middle = p + h / 2 * force
        velocity, same_force = asked(t, q, middle)
        q = q + h * velocity
        same_velocity, later_force = asked(t + h, q, middle)
        fixed = (same_force == force).all() & (same_velocity == velocity).all()
        # The one transfer to the host in a step.
        if not bool(fixed):
            return None
        if len(self.evaluations) == 1 and slope.requires_grad:
            with rolled_up():
                if _hidden(asked.field, self.parameters, t, h, y, q, middle):
                    return None
        return torch.cat([q, middle + h / 2 * later_force], -1)

    def stats(self, counts: Tensor, before: int) -> SolverStats:
        """Work of every row that has taken so many steps."""
        spent = torch.tensor(self.evaluations, device=counts.device)
        return SolverStats(before + spent[counts], counts, torch.zeros_like(counts))


class _Asked:
    """A field asked for both halves of the slope, and how often it was."""

    def __init__(self, field: VectorField) -> None:
        self.field, self.count = field, 0

    def __call__(self, t: Tensor, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        self.count += 1
        velocity, force = self.field(t, torch.cat([q, p], -1)).chunk(2, -1)
        return velocity, force


def _hidden(
    field: VectorField,
    parameters: tuple[Tensor, ...],
    t: Tensor,
    h: Tensor,
    y: Tensor,
    q: Tensor,
    middle: Tensor,
) -> bool:
    """Whether the equations of an explicit step to ``q`` are implicit in what is learned.

    A damping that is zero changes no force, but its derivative does.
    """
    field, used = dependencies(field, t, y, parameters)
    learned = tuple(x for x in used if x.numel())
    if not learned:
        return False
    before, p = y.detach().chunk(2, -1)
    after, middle = q.detach(), middle.detach()

    def asked(t: Tensor, q: Tensor, p: Tensor, half: int) -> Tensor:
        """Half of a slope."""
        return field(t, torch.cat([q, p], -1)).chunk(2, -1)[half]

    return _differ(asked(t, before, middle, 0), asked(t + h, after, middle, 0), learned) or (
        _differ(asked(t + h, after, middle, 1), asked(t + h, after, p, 1), learned)
    )


def _differ(one: Tensor, other: Tensor, learned: tuple[Tensor, ...]) -> bool:
    """Whether derivatives of two values of a field differ, in one direction of them."""
    direction = torch.arange(one.numel(), device=one.device).to(one.dtype).cos().view_as(one)
    pairs = zip(*(input_gradients([x], [direction], learned) for x in (one, other)), strict=True)
    for a, b in pairs:
        if a is None or b is None:
            if a is not b:
                return True
            continue
        least = SAME * torch.finfo(a.dtype).eps * torch.maximum(a.abs(), b.abs()).amax()
        if bool(((a - b).abs() > least).any()):
            return True
    return False


def _iterated(asked: _Asked, t: Tensor, h: Tensor, y: Tensor, slope: Tensor) -> Tensor:
    """Step with both implicit equations solved by iteration."""
    (q, p), (velocity, force) = y.chunk(2, -1), slope.chunk(2, -1)
    middle = p + h / 2 * force
    for _ in range(ROUNDS - 1):
        velocity, force = asked(t, q, middle)
        middle = p + h / 2 * force
    later = q + h * velocity
    for _ in range(ROUNDS - 1):
        later_velocity, force = asked(t + h, later, middle)
        later = q + h / 2 * (velocity + later_velocity)
    return torch.cat([later, middle + h / 2 * force], -1)
