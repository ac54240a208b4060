r"""Integration of learned dynamics over ragged batches, and how to choose a method.

`solve` takes the name of a method. With p the order, halving the steps divides the error by
:math:`2^p`; the cost of a step is the number of times it calls the field.

=========================== ======= ====== ======== ===============================================
Method                      Order   Stages Calls    For
=========================== ======= ====== ======== ===============================================
``euler``                   1       1      1        comparison with residual networks
``midpoint``                2       2      2        cheap training, rough accuracy
``heun``                    2       2      2        the same, asking the field at ends of steps only
``rk4``                     4       4      4        smooth fields in fixed steps: the default
``dopri5``                  5 (4)   7      6        accuracy to a tolerance, private times
``tsit5``                   5 (4)   7      6        the same, with smaller errors
``leapfrog``                2       2      3 or 7   long spans of conservative dynamics
``torchdiffeq:bosh3``       3 (2)   4      3        loose tolerances
``torchdiffeq:dopri8``      8 (7)   14     13       tight tolerances at few times
``adams``                   4       multi  2 to 5   smooth fields that are costly to ask
``torchdiffeq:scipy_radau`` 5       3      implicit stiff fields, high accuracy
``torchdiffeq:scipy_bdf``   1 to 5  multi  implicit stiff fields, moderate accuracy
``torchdiffeq:scipy_lsoda`` 1 to 12 multi  either   fields whose stiffness is unknown or changes
=========================== ======= ====== ======== ===============================================

In brackets stands the order of the solution that is compared to estimate the error. Where it
stands, or with ``leapfrog``, the last stage is the first of the next step. ``leapfrog`` takes
seven calls where the halves of the state depend on themselves.

**Fixed or adaptive.** In fixed steps the cost is known, batches stay in step, and gradients are
those of one smooth map; the error is not known: halve the step and see whether anything that
matters changes. An adaptive method holds each row's estimated error in a step at ``atol + rtol *
|y|`` by steps of the row's own length; the error at the end is the sum of these, and more where
trajectories part. Where the field has kinks, such as those of ReLU or of straight lines between
inputs, or jumps, as of inputs held constant, high orders are lost and adaptive methods take short
steps at each. Fixed steps that end at the knots of the inputs are better: at kinks they keep every
order, at jumps that of ``midpoint``. The others, ``rk4`` and ``heun`` too, ask the field at the end
of a step, where the next input holds already, and are of order 1 there. In float32 tolerances
below 1e-6 can't be held.

**Stability.** An explicit method is stable only while the step times the largest rate of decay
is small: below 2 for ``euler``, ``midpoint`` and ``heun``, 2.8 for ``rk4``, 3.3 for ``dopri5``,
3.5 for ``tsit5``. Undamped oscillators, step times angular frequency, are stable to 2.8 with
``rk4``, to 1 with ``dopri5``, to 2 with ``leapfrog``, and never with the first three, which let
them grow. A field is stiff if stability and not accuracy decides on the step; adaptive methods
then spend their budget and say so (``Solver.STIFF``). Implicit methods have no such bound: Radau
is L-stable, backward differentiation A-stable to order 2 and nearly so to order 5. They solve
systems of equations in every step, here row by row on the CPU.

**Conservation.** Over long spans Runge-Kutta methods lose or gain energy in proportion to time.
``leapfrog`` is symplectic and symmetric: the energy oscillates in proportion to the square of the
step and does not drift.

**Noise.** A stochastic dynamics has its own methods, all in fixed steps. The strong order, that of
the error along a path, may be below the weak one, that of expectations:

============================ ============ ====== =========== ======================================
Method                       Calculus     Strong Noise       Calls (drift, diffusion)
============================ ============ ====== =========== ======================================
``euler_maruyama``           Ito          0.5    any         1, 1; order 1 if the noise is additive
``milstein``                 Ito          1      not general 1, 2
``stochastic_heun``          Stratonovich 1      any         2, 2; order 0.5 if it does not commute
``torchsde:srk``             Ito          1.5    not general many; for accurate single paths
``torchsde:reversible_heun`` Stratonovich 0.5    any         1, 1; exact gradients by the adjoint
============================ ============ ====== =========== ======================================

**Gradients.** ``gradient="autograd"`` is right for tens of steps; ``"checkpoint"`` saves memory
where there are hundreds; ``"adjoint"`` keeps nothing of the steps, and finds gradients of the
exact solution to the accuracy of the tolerances. torchdiffeq's and torchsde's methods have
autograd and adjoint, the package's own stochastic ones autograd, SciPy's the adjoint alone.

**Compiled steps.** ``compile=True`` makes one function of a step of the explicit Runge-Kutta
methods, not of the loop over the steps. Compiling takes some twenty seconds for each kind of field
and each purpose, with or without gradients, so that it is for long trainings: of a perceptron
steps with gradients become 1.1 to 1.3 times as fast, and without gradients hardly faster or, for
small batches, slower, as torch sees at every step whether the function still applies.

**Where to begin.** Learned fields of moderate speed: ``rk4``, 20 steps over a series. Rows of
very different spans or speeds, or where accuracy is to be stated: ``dopri5`` or ``tsit5`` at
``rtol=1e-3`` for training and 1e-5 for results. A Hamiltonian or second-order field over hundreds
of periods: ``leapfrog``. "The problem is stiff": bound the field if it is learned, otherwise
``torchdiffeq:scipy_radau``.

References
----------
Hairer, E., Norsett, S. P., Wanner, G. (1993). Solving Ordinary Differential Equations I. Second
edition. Sections II.1-II.6 (Runge-Kutta methods), III.1 (Adams methods).
Hairer, E., Wanner, G. (1996). Solving Ordinary Differential Equations II. Second edition.
Sections IV.2 (stability regions), IV.8 (Radau), V.1 (backward differentiation).
Hairer, E., Lubich, C., Wanner, G. (2006). Geometric Numerical Integration. Second edition.
Sections I.1 and IX.8 (energy).
Kloeden, P. E., Platen, E. (1992). Numerical Solution of Stochastic Differential Equations.
Springer. Chapters 10 and 11.
Kidger, P. (2022). On Neural Differential Equations. Thesis, Oxford. Chapter 5 (methods and
gradients for learned fields).
Petzold, L. (1983). Automatic Selection of Methods for Solving Stiff and Nonstiff Systems of
Ordinary Differential Equations. SIAM Journal on Scientific and Statistical Computing 4(1).
"""

from odeseries.solvers.events import Event, solve_event
from odeseries.solvers.noise import row_seeds
from odeseries.solvers.regularised import Costs, Regularised, random_end
from odeseries.solvers.runge_kutta import RK4, Dopri5, Euler, Heun, Midpoint, Tsit5
from odeseries.solvers.solve import solve
from odeseries.solvers.symplectic import Leapfrog

__all__ = [
    "RK4",
    "Costs",
    "Dopri5",
    "Euler",
    "Event",
    "Heun",
    "Leapfrog",
    "Midpoint",
    "Regularised",
    "Tsit5",
    "random_end",
    "row_seeds",
    "solve",
    "solve_event",
]
