"""Coefficients of explicit Runge-Kutta methods, as Python numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DOPRI5", "EULER", "HEUN", "MIDPOINT", "RK4", "TSIT5", "Row", "Tableau"]

Row = tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    r"""An explicit method whose last stage is the end of the step.

    .. math::
        k_i = f(t + c_i h, y + h \sum_j a_{ij} k_j), \quad
        y(t + h) = y + h \sum_j a_{sj} k_j, \quad
        y(t + \theta h) = y + h \sum_j b_j(\theta) k_j

    Attributes
    ----------
    order : int
        Order of the solution.
    nodes : tuple of float
        The shares c of the step.
    stages : tuple of tuple of float
        The weights a, one row for each stage. The last row are those of the solution, so that
        the last slope is the first one of the next step.
    dense : tuple of tuple of float
        For every stage, the coefficients of its polynomial b from the first power on.
    error : tuple of float
        Weights of the estimated error of the solution; none in methods of fixed steps.
    """

    order: int
    nodes: Row
    stages: tuple[Row, ...]
    dense: tuple[Row, ...]
    error: Row = ()


def _hermite(weights: Row) -> tuple[Row, ...]:
    """Cubic through both ends' states and slopes, of a method with these weights."""
    inner = [(0.0, 3 * b, -2 * b) for b in weights]
    first = (1.0, inner[0][1] - 2, inner[0][2] + 1)
    return (first, *inner[1:], (0.0, -1.0, 1.0))


EULER = Tableau(1, (0.0, 1.0), ((), (1.0,)), ((1.0,), (0.0,)))
MIDPOINT = Tableau(2, (0.0, 0.5, 1.0), ((), (0.5,), (0.0, 1.0)), _hermite((0.0, 1.0)))
HEUN = Tableau(2, (0.0, 1.0, 1.0), ((), (1.0,), (0.5, 0.5)), _hermite((0.5, 0.5)))
RK4 = Tableau(
    4,
    (0.0, 0.5, 0.5, 1.0, 1.0),
    ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    _hermite((1 / 6, 1 / 3, 1 / 3, 1 / 6)),
)
DOPRI5 = Tableau(
    5,
    (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (
        (1.0, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
        (0.0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
        (0.0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
        (0.0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
        (0.0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
    ),
    (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),
)
CAUTION = 2.3
"""Factor on the published weights of TSIT5's error, whose estimate is so sharp that the error next
to a singularity is up to eight times that of other pairs at the same tolerance."""

TSIT5 = Tableau(
    5,
    (0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    (
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ),
        (
            0.09646076681806523,
            0.01,
            0.4798896504144996,
            1.379008574103742,
            -3.290069515436081,
            2.324710524099774,
        ),
    ),
    (
        (1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216),
        (0.0, 0.1317, -0.2234, 0.1017),
        (0.0, 3.930296236894751, -5.941033872131505, 2.490627285651253),
        (0.0, -12.411077166933676, 30.33818863028232, -16.548102889244902),
        (0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928),
        (0.0, -27.896526289197286, 65.09189467479368, -34.87065786149661),
        (0.0, 1.5, -4.0, 2.5),
    ),
    (
        CAUTION * -0.00178001105222577714,
        CAUTION * -0.0008164344596567469,
        CAUTION * 0.007880878010261995,
        CAUTION * -0.1447110071732629,
        CAUTION * 0.5823571654525552,
        CAUTION * -0.45808210592918697,
        CAUTION / 66,
    ),
)
