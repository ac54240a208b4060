"""Parameters that an estimator declares, from which its ``__init__`` is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, dataclass_transform

__all__ = ["Declared"]


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class Declared:
    """Base of classes whose annotated attributes are the arguments of ``__init__``.

    A subclass declares what it adds and inherits the rest, as a dataclass of keyword-only
    fields; ``__init__`` stores its arguments and does nothing else, and its signature lists
    every one, which is what scikit-learn's ``get_params`` and ``clone`` read. A subclass that
    writes its own ``__init__`` is left alone, with the values of the class for what it does not
    set.

    Examples
    --------
    >>> from odeseries.parameters import Declared
    >>> class Tuned(Declared):
    ...     rate: float = 0.1
    >>> class Deep(Tuned):
    ...     depth: int = 2
    >>> deep = Deep(rate=0.2)
    >>> deep.rate, deep.depth
    (0.2, 2)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        writer = next(c for c in cls.__mro__ if "__init__" in c.__dict__)
        if writer is object or "__dataclass_params__" in writer.__dict__:
            dataclass(kw_only=True, eq=False, repr=False)(cls)
