"""A device of its own for tests, whose tensors lie in the memory of the processor.

It refuses what a GPU refuses: operations on tensors here and there at once. And it counts what
makes the host wait for a GPU: transfers, and operations whose results have a size or a value
that the host must know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing

NAME = "emulated"
aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense.default,
    aten._unique2.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
MOVING = {aten._to_copy.default, aten.copy_.default}
_waits: list[str] = []
# What is registered lasts as long as its library.
_libraries: list[torch.library.Library] = []


class EmulatedTensor(Tensor):
    """A tensor that says it is on the device."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> EmulatedTensor:
        """Wrap a tensor of the processor."""
        place = (held.shape, held.stride(), held.storage_offset())
        device = torch.device(NAME, 0)
        made: EmulatedTensor = Tensor._make_wrapper_subclass(
            cls, *place, dtype=held.dtype, device=device
        )
        made.held = held
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], *unused: Any) -> EmulatedTensor:
        return EmulatedTensor(inner["held"])

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(operation, *args, **kwargs or {})

    def tolist(self) -> Any:
        """Python numbers, which a tensor's subclass doesn't give by itself."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refused, as for a GPU."""
        raise TypeError(f"Tensors on {NAME!r} can't be NumPy's: call .cpu() first, {force=}.")


@contextmanager
def emulated() -> Iterator[list[str]]:
    """The names of what the host waited for while the block ran.

    Skips the test where torch can't make devices in Python.
    """
    if not _registered():
        pytest.skip("needs torch 2.8 or later")
    _waits.clear()
    # The engine's own thread for a device knows nothing of tensors made in Python.
    with torch.autograd.set_multithreading_enabled(False):
        yield _waits


class _Absent:
    """What torch asks of a kind of device; none is there, so that nothing else looks for one."""

    def is_available(self) -> bool:
        """No."""
        return False

    def device_count(self) -> int:
        """None."""
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Nothing to seed."""


def _registered() -> bool:
    """Make the device known to torch, once in a process."""
    known = torch._C._get_privateuse1_backend_name()
    register = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
    if register is None or known == NAME:
        return known == NAME
    register(NAME, backend_module=_Absent())
    library = torch.library.Library("_", "IMPL")
    library.fallback(_run, "PrivateUse1")
    torch.library.impl("aten::_copy_from", "PrivateUse1")(_copy_from)
    _libraries.append(library)
    return True


def _run(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Take an operation in the processor's memory."""
    tensors: list[Tensor] = []
    inner = [_here(x, tensors) for x in args]
    named = {key: _here(x, tensors) for key, x in kwargs.items() if key != "pin_memory"}
    _check(operation, tensors)
    if operation in MOVING:
        target = kwargs.get("device") if operation is aten._to_copy.default else args[0].device
        _note_transfer(args[-1].device, torch.device(target or args[0].device))
    result = OWN.get(operation, operation)(*inner, **named)
    if torch.device(kwargs.get("device") or NAME).type != NAME:
        return result
    if operation is aten._pack_padded_sequence.default:
        return EmulatedTensor(result[0]), result[1]
    result = _there(result)
    if not operation._schema.is_mutable:
        return result
    if isinstance(args[0], Tensor):
        return return_and_correct_aliasing(operation, args, kwargs, result)
    return None  # of a list of tensors, changed in place


def _here(x: Any, met: list[Tensor]) -> Any:
    """What the processor computes with in place of it; tensors on the way are put down."""
    if isinstance(x, Tensor):
        met.append(x)
        return x.held if isinstance(x, EmulatedTensor) else x
    if isinstance(x, list | tuple):
        return [_here(one, met) for one in x]
    return torch.device("cpu") if isinstance(x, torch.device) else x


def _there(result: Any) -> Any:
    """The result as it looks on the device."""
    if isinstance(result, list | tuple):
        return tuple(_there(one) for one in result)
    return EmulatedTensor(result) if isinstance(result, Tensor) else result


def _check(operation: Any, tensors: list[Tensor]) -> None:
    """Refuse tensors here and there at once; note what the host waits for."""
    there = [x for x in tensors if isinstance(x, EmulatedTensor)]
    here = [x for x in tensors if not isinstance(x, EmulatedTensor) and x.dim() > 0]
    if operation in INDEXING:
        masks = [x for x in tensors[1:] if x.dtype == torch.bool]
        _waits.extend(str(operation) for _ in [*masks, *here])
    elif here and there and operation not in {*MOVING, aten._pack_padded_sequence.default}:
        shapes = [tuple(x.shape) for x in here]
        raise RuntimeError(f"{operation}: shapes {shapes} are on the processor, others on {NAME!r}")
    if operation in WAITING:
        _waits.append(str(operation))


def _note_transfer(source: torch.device, target: torch.device) -> None:
    if source.type != target.type:
        _waits.append(f"{source.type} to {target.type}")


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    del non_blocking
    _note_transfer(source.device, target.device)
    _here(target, []).copy_(_here(source, []))
    return target


def _gru_cell(
    given: Tensor, kept: Tensor, state: Tensor, b_given: Tensor | None, b_kept: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The cell that devices must bring themselves: state, and what its gradients need."""
    given = given if b_given is None else given + b_given
    kept = kept if b_kept is None else kept + b_kept
    (r1, z1, n1), (r2, z2, n2) = given.chunk(3, -1), kept.chunk(3, -1)
    r, z = torch.sigmoid(r1 + r2), torch.sigmoid(z1 + z2)
    new = torch.tanh(n1 + r * n2)
    return new + z * (state - new), torch.cat([r, z, new, state, n2], -1)


def _gru_cell_backward(grad: Tensor, saved: Tensor, biased: bool) -> tuple[Tensor | None, ...]:
    r, z, new, state, n2 = saved.chunk(5, -1)
    by_z, by_n = grad * (state - new) * z * (1 - z), grad * (1 - z) * (1 - new**2)
    by_r = by_n * n2 * r * (1 - r)
    by_given, by_kept = torch.cat([by_r, by_z, by_n], -1), torch.cat([by_r, by_z, by_n * r], -1)
    sums = (by_given.sum(0), by_kept.sum(0)) if biased else (None, None)
    return by_given, by_kept, grad * z, *sums


OWN: dict[Any, Callable[..., Any]] = {
    aten._thnn_fused_gru_cell.default: _gru_cell,
    aten._thnn_fused_gru_cell_backward.default: _gru_cell_backward,
}
