"""Fitted scikit-learn estimators as documents and tensors."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from odeseries import archives, plugins
from odeseries.checkpoints import determining
from odeseries.devices import find_saved_device
from odeseries.encoding import CODECS, Codec, Reader, Writer, record, refusal
from odeseries.encoding_transformers import TRANSFORMER
from odeseries.errors import PersistenceError
from odeseries.offers import Kind
from odeseries.parts import part_of

__all__ = ["Saved", "checked_weights", "name_of", "restored"]

NET = "net."
PARTS: tuple[Kind, ...] = ("dynamics", "solver")
UNSAVED = {"callbacks"}
"""Parameters that concern the training only and can't be written."""


class Saved(ABC):
    """Gives an estimator of the package ``save``; `odeseries.load` reads what it writes.

    What fitting adds to the estimator is written attribute by attribute, its network as weights.
    ``fit`` notes the parameters that the network is built with by `_remember`.

    Attributes
    ----------
    network_attribute : str
        Name of the attribute that holds the network.
    records : tuple of type
        Dataclasses that occur in fitted attributes.
    """

    network_attribute: ClassVar[str]
    records: ClassVar[tuple[type, ...]] = ()

    @abstractmethod
    def _untrained(self, seed: int) -> nn.Module:
        """The network before training, from the parameters and what else fitting added."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator, to be read by `odeseries.load`.

        Parameters
        ----------
        path : path
            A folder, or a file whose name ends in ``.zip``; what was saved there is replaced.
            It holds parameters and fitted values as JSON and the weights as tensors; nothing in
            it is code. Callbacks are left out.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        PersistenceError
            If a parameter can't be written, which is named, or the class is not the package's.
        PluginError
            If a class among the parameters is not registered.
        """
        check_is_fitted(self)
        name = name_of(type(self))
        writer = Writer(_codecs(type(self)))
        params = self.get_params(deep=False)  # type: ignore[attr-defined]  # scikit-learn's
        attributes = {k: v for k, v in vars(self).items() if k not in params}
        net = attributes.pop(self.network_attribute)
        document: dict[str, Any] = {
            "estimator": name,
            "parameters": {k: writer(v, k) for k, v in params.items() if k not in UNSAVED},
            "fitted": {k: writer(v, f"fitted.{k}") for k, v in attributes.items()},
        }
        document["parts"] = [part_of(kind, part) for kind, part in self._parts().items()]
        weights = {NET + k: v.detach().cpu().clone() for k, v in net.state_dict().items()}
        archives.write(Path(path), document, weights | writer.tensors)

    def _remember(self) -> None:
        """Note the parameters that the network is built with."""
        self._fitted_with = copy.deepcopy(determining(self))

    def _parts(self) -> dict[Kind, str]:
        """Names of classes that plugins may offer."""
        named = {kind: self._fitted_with[kind] for kind in PARTS}
        return {
            kind: name if isinstance(name, str) else plugins.qualified_name(name)
            for kind, name in named.items()
            if name != "auto"
        }


def checked_weights(X: Any, sample_weight: Any) -> npt.NDArray[np.float64]:
    """Weights of rows, 1 where none are given.

    Raises
    ------
    ValueError
        If a weight is negative, or all are 0.
    """
    weights: npt.NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True
    )
    if not weights.any():
        raise ValueError("All rows have the weight 0: give at least one a positive weight.")
    return weights


def restored(document: dict[str, Any], tensors: dict[str, Tensor], device: str | None) -> Any:
    """The estimator that a document holds.

    Parameters
    ----------
    document : dict
        Of an estimator.
    tensors : dict of str to Tensor
        Those that belong to it.
    device : str or None
        Where it is to live; None for that of the saved one.

    Raises
    ------
    PersistenceError
        If its class is not known here.
    """
    cls = plugins.estimators().get(document["estimator"])
    if cls is None:
        raise PersistenceError(
            f"The saved model is an estimator '{document['estimator']}', which is not known here: "
            "update odeseries."
        )
    reader = Reader(_codecs(cls), tensors)
    fitted = reader(document["fitted"])
    given = {} if device is None else {"device": device}
    model = cls(**(reader(document["parameters"]) | given))
    builder = cls(**fitted["_fitted_with"])
    for one in (model, builder):
        vars(one).update(fitted)
    model.device_ = find_saved_device(model.device, device)
    net = builder._untrained(0)
    net.load_state_dict({k.removeprefix(NET): v for k, v in tensors.items() if k.startswith(NET)})
    setattr(model, cls.network_attribute, net.eval().to(model.device_))
    return model


def name_of(cls: type) -> str:
    """The name that saved models know a class by.

    Raises
    ------
    PersistenceError
        If it is not the package's own.
    """
    for name, known in plugins.estimators().items():
        if known is cls:
            return name
    raise PersistenceError(
        f"{cls.__qualname__} is not one of the package's own estimators, which are saved by name: "
        "use pickle."
    )


def _codecs(cls: type[Saved]) -> tuple[Codec, ...]:
    return (*map(record, cls.records), TENSOR, ARRAY, TABLE, TRANSFORMER, *CODECS)


def _write_tensor(value: Tensor, writer: Writer, where: str) -> str:
    writer.tensors[where] = value.detach().cpu().clone()
    return where


def _write_array(value: np.ndarray[Any, Any], writer: Writer, where: str) -> Any:
    """Numbers as a tensor, texts and objects one by one."""
    if value.dtype.kind in "biuf":
        return [_NUMBERS.write(value, writer, where)]
    if value.dtype.kind not in "UO" or value.ndim != 1:
        raise refusal(value, where)
    kind = value.dtype.str if value.dtype.kind == "U" else "O"
    return [kind, [writer(one, f"{where}[{i}]") for i, one in enumerate(value.tolist())]]


def _read_array(plain: Any, reader: Reader) -> np.ndarray[Any, Any]:
    if len(plain) == 1:
        numbers: np.ndarray[Any, Any] = _NUMBERS.read(plain[0], reader)
        return numbers
    kind, values = plain
    return np.array(reader(values), dtype=kind)


_NUMBERS = next(codec for codec in CODECS if codec.of is np.ndarray)
TENSOR = Codec("tensor", Tensor, _write_tensor, lambda plain, reader: reader.tensors[plain])
ARRAY = Codec("labels", np.ndarray, _write_array, _read_array)
TABLE = Codec(
    "table",
    pd.DataFrame,
    lambda table, writer, where: writer(table.to_dict("list"), where),
    lambda plain, reader: pd.DataFrame(reader(plain)),
)
