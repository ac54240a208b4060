"""scikit-learn's invertible scalers as JSON and tensors, by the names of their classes."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from odeseries.encoding import Codec, Reader, Writer, refusal
from odeseries.errors import PersistenceError

__all__ = ["TRANSFORMER"]

CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        FunctionTransformer,
        MaxAbsScaler,
        MinMaxScaler,
        PowerTransformer,
        QuantileTransformer,
        RobustScaler,
        StandardScaler,
    )
}


def _write(transformer: Any, writer: Writer, where: str) -> Any:
    """Class, parameters and what fitting added, private parts included."""
    name = type(transformer).__name__
    if CLASSES.get(name) is not type(transformer):
        raise refusal(transformer, where)
    params = transformer.get_params(deep=False)
    learnt = {k: v for k, v in vars(transformer).items() if k not in params}
    return {
        "class": name,
        "parameters": writer(params, where),
        "fitted": writer(learnt, where),
    }


def _read(plain: Any, reader: Reader) -> Any:
    cls = CLASSES.get(plain["class"])
    if cls is None:
        raise PersistenceError(f"The saved model holds an unknown transformer {plain['class']!r}.")
    transformer = cls(**reader(plain["parameters"]))
    vars(transformer).update(reader(plain["fitted"]))
    return transformer


TRANSFORMER = Codec("transformer", BaseEstimator, _write, _read)
