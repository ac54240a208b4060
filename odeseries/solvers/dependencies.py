"""The tensors that a field has learned, or is closed over, found by asking it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from odeseries.errors import SolverError
from odeseries.interfaces import VectorField

__all__ = ["dependencies"]

Edge = tuple[Node | None, int]


def dependencies(
    field: VectorField, t: Tensor, y: Tensor, named: Iterable[Tensor] = ()
) -> tuple[VectorField, tuple[Tensor, ...]]:
    """Tensors beside time and state with respect to which the field can be differentiated.

    They are those that are named, and those that the field uses: parameters of any module it
    calls, and tensors made beforehand that it is closed over, such as rates that an encoder has
    computed. What plays no part at this time and state, because of a branch in Python, is found
    only if it is named.

    No one leads to another, so that nothing counts twice, and the graph before them is not gone
    through. A named tensor that plays its part through others computed of it is therefore left
    out: their gradients reach it. One that does so and is used by itself too is replaced in the
    field by an alias.

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
    field : callable
        The field to be differentiated by them, nearly always the same.
    tensors : tuple of Tensor
        Without repeats, those that require a gradient.

    Raises
    ------
    SolverError
        If a tensor is used both ways, and can't be replaced.
    """
    known = _unique(named)
    t, y = t.detach(), y.detach().requires_grad_()
    graph = _Graph(field, t, y)
    reached = graph.ends(known)
    inside = (x.is_leaf and any(x is one for one in (y, *known)) for x in reached)
    if not graph.left_behind and all(inside):
        return field, known
    # Something was computed before: see it come by, since it may not be a leaf of the graph.
    with _Watch() as watch:
        graph = _Graph(field, t, y)
    outer = [x for x in watch.outer() if x is not y and not graph.made(x)]
    used = _unique(x for x in graph.ends(outer) if not watch.within(x, y))
    before = _before(used, [*known, *used])
    both = {id(x): x for x in used if id(x) in before}
    alone = [x for x in _unique([*known, *used]) if id(x) not in before]
    return _renamed(field, t, y, both, alone) if both else (field, tuple(alone))


def _unique(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Those that require a gradient, once each."""
    return tuple({id(x): x for x in tensors if x.requires_grad}.values())


def _before(used: Iterable[Tensor], sought: list[Tensor]) -> set[int]:
    """Identities of those tensors sought of which others that are used were computed."""
    starts = [edge for x in used if x.grad_fn is not None for edge in x.grad_fn.next_functions]
    if not starts:
        return set()
    at = _ending(sought)
    ends = (at[edge] if edge in at else _leaf(edge) for edge in _edges(starts))
    found = {id(x) for x in ends if x is not None}
    return {id(x) for x in sought if id(x) in found}


def _ending(tensors: Iterable[Tensor]) -> dict[Edge, Tensor]:
    """Those that were computed, by the edges that lead to them."""
    return {(x.grad_fn, x.output_nr): x for x in tensors if x.grad_fn is not None}


def _edges(starts: Iterable[Edge], stops: Iterable[Edge] = ()) -> Iterator[Edge]:
    """Edges of a graph, once each; it is not followed beyond the stops."""
    seen, left, last = set(), list(starts), set(stops)
    while left:
        edge = left.pop()
        if edge in seen or edge[0] is None:
            continue
        seen.add(edge)
        yield edge
        if edge not in last:
            left.extend(edge[0].next_functions)


def _leaf(edge: Edge) -> Tensor | None:
    """The leaf of the graph that an edge leads to, if it is one."""
    if edge[0] is None or edge[0].name() != "torch::autograd::AccumulateGrad":
        return None
    return cast("Tensor", cast("Any", edge[0]).variable)


class _Graph:
    """The graph of a field's value, which knows what of it is the field's own.

    Autograd numbers the nodes that a thread makes. Those that another has made, as on other
    devices in a field that differentiates, are taken for made before.

    Parameters
    ----------
    field, t, y
        What is asked, and at which time and state; the state requires a gradient.
    """

    def __init__(self, field: VectorField, t: Tensor, y: Tensor) -> None:
        with torch.enable_grad():
            self.before = _number(y.view_as(y).grad_fn)
            self.value = field(t, y)
        self.last = _number(self.value.grad_fn)
        self.left_behind = False

    def made(self, x: Tensor) -> bool:
        """Whether a tensor, no leaf, was computed by the field."""
        return x.grad_fn is not None and self._own(x.grad_fn)

    def _own(self, node: Node | None) -> bool:
        return self.before < _number(node) <= self.last

    def ends(self, stops: Iterable[Tensor]) -> list[Tensor]:
        """Leaves, and stops, at which the graph ends; notes whether it goes on to another one."""
        at, found = _ending(stops), []
        for edge in _edges([(self.value.grad_fn, self.value.output_nr)], at):
            if edge not in at and self._own(edge[0]):
                continue
            end = at[edge] if edge in at else _leaf(edge)
            if end is None:
                self.left_behind = True
            else:
                found.append(end)
        return found


def _number(node: Node | None) -> int:
    """Place among all nodes that the thread has made; -1 for none."""
    return -1 if node is None else cast("int", cast("Any", node)._sequence_nr())


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


def _renamed(
    field: VectorField, t: Tensor, y: Tensor, both: dict[int, Tensor], alone: list[Tensor]
) -> tuple[VectorField, tuple[Tensor, ...]]:
    """The field with aliases for some tensors, to be differentiated by them and by others."""
    names = {key: x.view_as(x) for key, x in both.items()}

    def renamed(t: Tensor, state: Tensor) -> Tensor:
        with _Renaming(names):
            return field(t, state)

    learned = [*alone, *names.values()]
    for x in _Graph(renamed, t, y).ends(learned):
        if id(x) in both:
            raise SolverError(
                f"The field uses a tensor of the shape {tuple(x.shape)} in a way of its own (an "
                f"autograd.Function), and another that was computed of it: compute that within "
                f"the field, or take gradient='autograd'."
            )
    return renamed, tuple(learned)


class _Renaming(TorchFunctionMode):
    """Gives operations others of their arguments, by their identities."""

    def __init__(self, names: dict[int, Tensor]) -> None:
        super().__init__()
        self.names = names

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the operation with them."""
        args, kwargs = tree_map(lambda x: self.names.get(id(x), x), (args, kwargs or {}))
        return func(*args, **kwargs)
