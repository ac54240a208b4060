"""Checks of single arguments, shared by what takes them."""

from __future__ import annotations

import numbers

__all__ = ["is_whole", "require_probability"]


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def require_probability(value: float, name: str) -> None:
    """Refuse what is no probability in (0, 1), with a hint where it may be a percentage.

    Parameters
    ----------
    value : float
        What was given.
    name : str
        What the user calls it.

    Raises
    ------
    ValueError
        If it is not between 0 and 1.
    """
    if not 0 < value < 1:
        hint = f" Did you mean {value / 100:g}?" if 1 < value < 100 else ""
        raise ValueError(f"{name}={value:g} is not a probability in (0, 1).{hint}")
