"""The tensors that a field has learned, or is closed over, found by asking it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from odeseries.interfaces import VectorField

__all__ = ["dependencies"]


def dependencies(
    field: VectorField, t: Tensor, y: Tensor, named: Iterable[Tensor] = ()
) -> tuple[Tensor, ...]:
    """Tensors beside time and state with respect to which the field can be differentiated.

    They are those that are named, and those that the graph of the field's value leads to:
    parameters of any module it calls, and tensors made beforehand that it is closed over, such
    as rates that an encoder has computed. What plays no part at this time and state, because of
    a branch in Python, is found only if it is named.

    Parameters
    ----------
    field : callable
        ``field(t, state)``.
    t : Tensor of shape (batch, 1, ...)
        Times to ask for.
    y : Tensor of shape (batch, ..., state_dim)
        States to ask for.
    named : iterable of Tensor
        Tensors known to be learned, such as the parameters of a module.

    Returns
    -------
    tuple of Tensor
        Without repeats, those that require a gradient.
    """
    known = _unique(named)
    y = y.detach().requires_grad_()
    with torch.enable_grad():
        value = field(t.detach(), y)
    reached = _reached(value, known)
    if all(any(x is one for one in (y, *known)) for x in reached):
        return known
    # Something is unnamed: see it come by, since it may not be a leaf of the graph.
    with torch.enable_grad(), _Watch() as watch:
        value = field(t.detach(), y)
    outer = [x for x in watch.outer() if x is not y]
    return _unique([*known, *(x for x in _reached(value, outer) if not watch.within(x, y))])


def _unique(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Those that require a gradient, once each."""
    return tuple({id(x): x for x in tensors if x.requires_grad}.values())


def _reached(value: Tensor, stops: Iterable[Tensor]) -> list[Tensor]:
    """Tensors at the ends of the value's graph, which is not followed beyond the stops."""
    at = {(x.grad_fn, x.output_nr): x for x in stops if x.grad_fn is not None}
    found: list[Tensor] = []
    seen: set[tuple[Node | None, int]] = set()
    left = [(value.grad_fn, value.output_nr)]
    while left:
        edge = left.pop()
        if edge in seen or edge[0] is None:
            continue
        seen.add(edge)
        if edge in at:
            found.append(at[edge])
        elif edge[0].name() == "torch::autograd::AccumulateGrad":
            found.append(cast("Any", edge[0]).variable)
        else:
            left.extend(edge[0].next_functions)
    return found


class _Watch(TorchFunctionMode):
    """Sees the arguments of all operations, and tells those made outside from those made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.used: dict[int, Tensor] = {}
        self.made: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the operation, and note what went in and what came out."""
        kwargs = kwargs or {}
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, Tensor) and id(x) not in self.made:
                self.used[id(x)] = x
        out = func(*args, **kwargs)
        # Kept alive, so that no other tensor gets its identity.
        fresh = [x for x in tree_leaves(out) if isinstance(x, Tensor) and id(x) not in self.used]
        self.made |= {id(x): x for x in fresh}
        return out

    def outer(self) -> tuple[Tensor, ...]:
        """Tensors from outside that require a gradient."""
        return _unique(self.used.values())

    def within(self, x: Tensor, y: Tensor) -> bool:
        """Whether a tensor was made inside, or is the state."""
        return x is y or id(x) in self.made
