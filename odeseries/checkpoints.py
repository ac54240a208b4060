"""Progress of a fit on disk, so that it goes on after its process was killed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from numbers import Number
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from odeseries.errors import OdeSeriesError
from odeseries.files import replacing

__all__ = ["Randomness", "Store", "begun", "determining", "drawn_seed", "fingerprint"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DESCRIPTION = "fit.json"
_CONTAINERS = (list, tuple, set, frozenset, Mapping)
_CONTROLS = {"max_time", "callbacks", "checkpoint_dir", "verbose", "random_state"}
"""Parameters that change nothing of what an uninterrupted fit learns, beside the seed."""


class Store:
    """Folder with the progress of one fit.

    Every fit has a folder of its own inside the one that the user names, called by the
    fingerprint of its data and parameters, so that several fits may share it. Whenever the
    process dies, the old or the new state is there, whole.

    Attributes
    ----------
    folder : Path
        Its own.
    seed : int
        Seed of the fit, that of the interrupted one where there was one.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed

    @classmethod
    def of(cls, estimator: Any, data: Iterable[object], seed: int) -> Self:
        """The folder of this very fit, inside the estimator's ``checkpoint_dir``.

        Parameters
        ----------
        estimator : estimator
            Its class and parameters tell fits apart.
        data : iterable
            So does what it is fitted on; see `fingerprint`.
        seed : int
            Seed of a new fit.
        """
        # Without a seed of the user's, the interrupted fit's own is taken up.
        given = [] if estimator.random_state is None else [seed]
        parts = [type(estimator), determining(estimator), *data, *given]
        return cls.opened(estimator.checkpoint_dir, fingerprint(parts), seed)

    @classmethod
    def opened(cls, parent: str | os.PathLike[str], key: str, seed: int) -> Self:
        """The folder of a fit, with the seed that it was started with.

        Parameters
        ----------
        parent : path
            Made if it does not exist.
        key : str
            Fingerprint of data and parameters.
        seed : int
            Seed of a new fit.

        Warns
        -----
        UserWarning
            If there is only progress of fits of other data or parameters.
        """
        folder = Path(parent) / key
        known = folder / _DESCRIPTION
        if known.exists():
            return cls(folder, int(json.loads(known.read_text())["seed"]))
        others = sorted(p.parent.name for p in Path(parent).glob(f"*/{_DESCRIPTION}"))
        if others:
            warnings.warn(
                f"{os.fspath(parent)} holds the progress of {len(others)} fits of other data or "
                f"parameters ({', '.join(others[:3])}): this fit starts afresh. Delete what is "
                "no longer wanted.",
                stacklevel=4,
            )
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, seed)
        with replacing(known) as new:
            new.write_text(json.dumps({"seed": seed}))
        return store

    def read(self, name: str) -> dict[str, Any] | None:
        """The state kept under a name, on the CPU; None if there is none.

        Raises
        ------
        OdeSeriesError
            If the file is damaged.
        """
        path = self.folder / f"{name}.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise OdeSeriesError(
                f"The checkpoint {path} can't be read: delete {self.folder} and fit again."
            ) from error
        return state

    def write(self, name: str, state: Mapping[str, Any]) -> None:
        """Keep a state of tensors and plain values under a name, in place of the last one."""
        with replacing(self.folder / f"{name}.pt") as new:
            torch.save(dict(state), new)

    def remove(self) -> None:
        """Delete the progress, when the fit is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def begun(estimator: Any, data: Callable[[], Iterable[object]]) -> tuple[int, Store | None]:
    """Seed of an estimator's fit, and where its progress is kept, if anywhere.

    Parameters
    ----------
    estimator : estimator
        With ``random_state`` and ``checkpoint_dir``.
    data : callable
        Gives what tells fits apart, see `Store.of`; called where progress is kept.
    """
    seed = drawn_seed(estimator.random_state)
    if estimator.checkpoint_dir is None:
        return seed, None
    store = Store.of(estimator, data(), seed)
    return store.seed, store


def drawn_seed(random_state: Any) -> int:
    """A seed that follows from a ``random_state``.

    Parameters
    ----------
    random_state : int, RandomState or None
        Without one the seed comes from the system: numpy's global generator is not touched.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    return int(check_random_state(random_state).randint(2**31 - 1))


@dataclass(frozen=True)
class Randomness:
    """The generators that a loop's batches and losses draw from."""

    rng: np.random.Generator
    generator: torch.Generator

    def state(self) -> dict[str, Any]:
        """Where the generators stand, as a text and a tensor."""
        text = json.dumps(self.rng.bit_generator.state)
        return {"rng": text, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put the generators where they stood."""
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.generator.set_state(state["generator"])


def determining(estimator: Any) -> dict[str, Any]:
    """The parameters on which it depends what an estimator learns, beside the seed."""
    params: dict[str, Any] = estimator.get_params(deep=False)
    return {name: value for name, value in params.items() if name not in _CONTROLS}


def fingerprint(parts: Iterable[object]) -> str:
    """Name of a fit that another process with the same data and parameters finds again.

    Parameters
    ----------
    parts : iterable
        Arrays, plain values, and what holds them: containers, dataclasses, estimators, functions
        and classes. Functions are told apart by their code and by what it refers to.

    Returns
    -------
    str of 16 hexadecimal digits
    """
    digest = _Digest()
    for part in parts:
        digest.feed(part)
    return digest.hash.hexdigest()[:16]


class _Digest:
    """Of parts, each with what tells it from parts of other types and lengths."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._met: dict[int, tuple[int, object]] = {}

    def feed(self, part: object) -> None:
        """Add a part, and all that it holds."""
        if isinstance(part, np.ndarray) and part.dtype != object:
            self.hash.update(f"{part.dtype}{part.shape}".encode())
            self.hash.update(np.ascontiguousarray(part).tobytes())
            return
        held = _held(part)
        if held is None:
            # An object's address is another one in each process.
            self.hash.update(_ADDRESS.sub("", repr(part)).encode() + b"\0")
        elif id(part) in self._met:
            self.hash.update(f"met {self._met[id(part)][0]}".encode())
        else:
            if not isinstance(part, _CONTAINERS):  # others may refer to themselves
                self._met[id(part)] = len(self._met), part
            self.hash.update(f"{type(part).__name__}{len(held)}".encode())
            for one in held:
                self.feed(one)


def _held(part: object) -> tuple[object, ...] | None:
    """What tells an object from others of its type; None for plain values."""
    if isinstance(part, (list, tuple)):
        return tuple(part)
    if isinstance(part, Mapping):
        return tuple(part.items())
    if isinstance(part, (set, frozenset)):
        return tuple(sorted(part, key=repr))
    if isinstance(part, (np.ndarray, torch.Tensor)):
        return str(part.dtype), part.tolist()
    if isinstance(part, functools.partial):
        return part.func, part.args, part.keywords
    if isinstance(part, MethodType):
        return part.__func__, part.__self__
    if isinstance(part, (FunctionType, CodeType, type)):
        return _code(part)
    if isinstance(part, BaseEstimator):
        return type(part), part.get_params(deep=False)
    if is_dataclass(part):
        return tuple((f.name, getattr(part, f.name)) for f in fields(part))
    if type(part).__repr__ is object.__repr__:
        return type(part), getattr(part, "__dict__", {})
    return None


def _code(part: FunctionType | CodeType | type) -> tuple[object, ...]:
    """Name and code of a function, or of the methods that a class has from its own package."""
    if isinstance(part, CodeType):
        return part.co_code, part.co_names, part.co_consts
    if isinstance(part, FunctionType):
        defaults, held = (part.__defaults__, part.__kwdefaults__), dict(_referred(part))
        return part.__module__, part.__qualname__, part.__code__, defaults, held
    package = part.__module__.partition(".")[0]
    own = [c for c in part.__mro__ if c.__module__.partition(".")[0] == package]
    return part.__module__, part.__qualname__, *(dict(_members(c)) for c in own)


def _referred(function: FunctionType) -> Iterator[tuple[str, object]]:
    """What a function closes over, and the values and code of its own module that it names."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not filled yet
            yield name, cell.cell_contents
    for name in dict.fromkeys(_names(function.__code__)):
        value = function.__globals__.get(name)
        of_code = isinstance(value, (FunctionType, type))
        if _is_value(value) or (of_code and value.__module__ == function.__module__):
            yield name, value


def _names(code: CodeType) -> Iterator[str]:
    """The names in a function and in those inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _members(cls: type) -> Iterator[tuple[str, object]]:
    """The methods and values of a class."""
    for name, member in vars(cls).items():
        if isinstance(member, property):
            yield name, (member.fget, member.fset)
        elif isinstance(member, (staticmethod, classmethod)):
            yield name, member.__func__
        elif isinstance(member, FunctionType) or (_is_value(member) and not name.startswith("__")):
            yield name, member


def _is_value(part: object) -> bool:
    return isinstance(part, (Number, str, bytes, tuple, np.ndarray))
