"""Progress of a fit on disk, so that it goes on after its process was killed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state

from odeseries.errors import OdeSeriesError
from odeseries.files import replacing

__all__ = ["Randomness", "Store", "begun", "determining", "drawn_seed", "fingerprint"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DESCRIPTION = "fit.json"
_CONTROLS = {"max_time", "callbacks", "checkpoint_dir", "verbose", "random_state"}
"""Parameters that change nothing of what an uninterrupted fit learns, beside the seed."""


class Store:
    """Folder with the progress of one fit.

    Every fit has a folder of its own inside the one that the user names, called by the
    fingerprint of its data and parameters, so that several fits may share it. Whenever the
    process dies, the old or the new state is there, whole.

    Attributes
    ----------
    seed : int
        Seed of the fit, that of the interrupted one where there was one.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self.seed = folder, seed

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
        parts = [type(estimator).__qualname__, determining(estimator), *data, *given]
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
        path = self._folder / f"{name}.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise OdeSeriesError(
                f"The checkpoint {path} can't be read: delete {self._folder} and fit again."
            ) from error
        return state

    def write(self, name: str, state: Mapping[str, Any]) -> None:
        """Keep a state of tensors and plain values under a name, in place of the last one."""
        with replacing(self._folder / f"{name}.pt") as new:
            torch.save(dict(state), new)

    def remove(self) -> None:
        """Delete the progress, when the fit is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)


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
        Arrays, dataclasses of arrays and plain values, plain values, mappings and classes.

    Returns
    -------
    str of 16 hexadecimal digits
    """
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()[:16]


def _feed(digest: hashlib._Hash, part: object) -> None:
    """Add a part, with what tells it from parts of other types and lengths."""
    if isinstance(part, np.ndarray) and part.dtype != object:
        digest.update(f"{part.dtype}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    elif is_dataclass(part) and not isinstance(part, type):
        digest.update(type(part).__name__.encode())
        for f in fields(part):
            _feed(digest, (f.name, getattr(part, f.name)))
    elif isinstance(part, Mapping):
        _feed(digest, tuple(part.items()))
    elif isinstance(part, (list, tuple)):
        digest.update(f"{type(part).__name__}{len(part)}".encode())
        for one in part:
            _feed(digest, one)
    else:
        # A function's or object's address is another one in each process.
        digest.update(_ADDRESS.sub("", repr(part)).encode() + b"\0")
