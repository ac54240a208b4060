"""Checks of single arguments, shared by what takes them."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterable

import numpy as np

__all__ = ["is_whole", "probabilities", "require_keywords", "require_probability"]


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


def probabilities(given: object, name: str) -> list[float]:
    """Probabilities in (0, 1), given as a number or as several.

    Parameters
    ----------
    given : float or array-like of shape (n,)
        At least one.
    name : str
        What the user calls them.

    Raises
    ------
    ValueError
        If there is none, or one is no number between 0 and 1.
    """
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "iuf" or array.ndim > 1 or not array.size:
        raise ValueError(f"{name}={given!r} must be a probability or a list of probabilities.")
    found: list[float] = np.atleast_1d(array).astype(np.float64).tolist()
    for value in found:
        require_probability(value, name)
    return found


def require_keywords(cls: type, given: Iterable[str], set_here: Iterable[str], name: str) -> None:
    """Refuse arguments that a class does not take.

    Parameters
    ----------
    cls : type
        Its first argument is given by position, and no name for others.
    given : iterable of str
        Names of arguments.
    set_here : iterable of str
        Arguments that are not for the user to give.
    name : str
        What the user calls the mapping of the arguments.

    Raises
    ------
    ValueError
        If there is none of a name.
    """
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    taken = [parameter.name for parameter in parameters if parameter.name not in set_here]
    unknown = next((key for key in given if key not in taken), None)
    if unknown is not None:
        known = ", ".join(map(repr, taken)) or "nothing"
        raise ValueError(f"{name} has {unknown!r}, but {cls.__name__} takes {known}.")
