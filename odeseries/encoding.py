"""Python values as JSON and tensors, and back; nothing is imported or executed by reading."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
import torch
from torch import Tensor

from odeseries import plugins
from odeseries.errors import PersistenceError, PluginError

__all__ = ["CODECS", "Codec", "Reader", "Writer", "record"]

Json = Any
"""None, a bool, a number, a text, a list, or a dict of such."""

TAG, VALUE = "$", "value"
UFUNCS: dict[str, Mapping[str, Any]] = {"numpy": vars(np), "scipy.special": vars(scipy.special)}


@dataclass(frozen=True)
class Codec:
    """How the values of a type are written and read.

    Attributes
    ----------
    tag : str
        Name in the file.
    of : type
        Values of this type, and of its subclasses unless an earlier codec takes them.
    write : callable
        From the value, the writer, and the place for messages to JSON.
    read : callable
        From that JSON and the reader to the value.
    """

    tag: str
    of: type
    write: Callable[[Any, Writer, str], Json]
    read: Callable[[Any, Reader], Any]


class Writer:
    """Turns values into JSON; arrays are put aside as tensors.

    Parameters
    ----------
    codecs : tuple of Codec
        For what JSON has no form of its own; the first that fits is used.

    Attributes
    ----------
    tensors : dict of str to Tensor
        The arrays written, by their places.
    """

    def __init__(self, codecs: tuple[Codec, ...]) -> None:
        self._codecs = codecs
        self.tensors: dict[str, Tensor] = {}

    def __call__(self, value: object, where: str) -> Json:
        """JSON of a value.

        Raises
        ------
        PersistenceError
            If the value, or one inside it, has no form in a file; its place is named.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is list:
            return [self(one, f"{where}[{i}]") for i, one in enumerate(value)]
        if type(value) is dict and all(type(key) is str and key != TAG for key in value):
            return {key: self(one, f"{where}.{key}") for key, one in value.items()}
        if isinstance(value, type):
            return _name_of(value, where)
        for codec in self._codecs:
            if isinstance(value, codec.of):
                return {TAG: codec.tag, VALUE: codec.write(value, self, where)}
        raise refusal(value, where)


class Reader:
    """Turns JSON of a `Writer` back into values.

    Parameters
    ----------
    codecs : tuple of Codec
        Those of the writer.
    tensors : mapping of str to Tensor
        Those of the writer.
    """

    def __init__(self, codecs: tuple[Codec, ...], tensors: Mapping[str, Tensor]) -> None:
        self._codecs = {codec.tag: codec for codec in codecs}
        self.tensors = tensors

    def __call__(self, plain: Json) -> Any:
        """The value.

        Raises
        ------
        PersistenceError
            If a tag is not known.
        """
        if isinstance(plain, list):
            return [self(one) for one in plain]
        if not isinstance(plain, dict):
            return plain
        if TAG not in plain:
            return {key: self(one) for key, one in plain.items()}
        codec = self._codecs.get(plain[TAG])
        if codec is None:
            raise PersistenceError(f"The saved model holds a value of unknown type {plain[TAG]!r}.")
        return codec.read(plain[VALUE], self)


def record(cls: type) -> Codec:
    """How a dataclass is written: field by field, by name.

    A field that a file does not have takes its default, so that old files stay readable.
    """

    def write(value: Any, writer: Writer, where: str) -> Json:
        return {f.name: writer(getattr(value, f.name), f"{where}.{f.name}") for f in fields(cls)}

    def read(plain: Json, reader: Reader) -> Any:
        return cls(**{name: reader(one) for name, one in plain.items()})

    return Codec(cls.__name__, cls, write, read)


def refusal(value: object, where: str) -> PersistenceError:
    """The error for a value that has no form in a file."""
    return PersistenceError(
        f"{where}={value!r} can't be saved: a file holds numbers, texts, dates, lists, dicts, "
        "arrays and indexes of numbers or dates, numpy functions, scikit-learn's scalers and names "
        "of registered classes only. Give such a value and fit again, or use pickle."
    )


def _name_of(cls: type, where: str) -> str:
    try:
        return plugins.qualified_name(cls)
    except PluginError as error:
        raise PersistenceError(f"{where} can't be saved: {error}") from error


def _write_array(array: np.ndarray[Any, Any], writer: Writer, where: str) -> Json:
    """The name of its tensor, and of dates and lengths of time the type of their counts."""
    if array.dtype.kind in "mM":
        return [_write_array(array.astype(np.int64), writer, where), array.dtype.str]
    if array.dtype.kind not in "biuf":
        raise refusal(array, where)
    writer.tensors[where] = torch.from_numpy(np.array(array, order="C"))
    return where


def _read_array(plain: Json, reader: Reader) -> np.ndarray[Any, Any]:
    if isinstance(plain, list):
        name, dtype = plain
        return reader.tensors[name].numpy().astype(dtype)
    return reader.tensors[plain].numpy().copy()


def _write_index(index: pd.Index, writer: Writer, where: str) -> Json:
    zone, plain = None, index
    if isinstance(index, pd.DatetimeIndex) and index.tz is not None:
        zone, plain = index.tz, index.tz_convert(None)
    return [writer(part, where) for part in (plain.to_numpy(), zone, index.name)]


def _read_index(plain: Json, reader: Reader) -> pd.Index:
    values, zone, name = (reader(part) for part in plain)
    index: pd.Index = pd.Index(values, name=name)
    if zone is not None:
        index = pd.DatetimeIndex(index, tz="UTC").tz_convert(zone)
    return index


def _write_stamp(stamp: pd.Timestamp, writer: Writer, where: str) -> Json:
    return [int(stamp.asm8.astype(np.int64)), stamp.unit, writer(stamp.tz, where)]


def _read_stamp(plain: Json, reader: Reader) -> pd.Timestamp:
    ticks, unit, zone = plain
    stamp = pd.Timestamp(np.datetime64(ticks, unit))
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(reader(zone))


def _write_datetime(stamp: dt.datetime, writer: Writer, where: str) -> Json:
    del writer
    if stamp.tzinfo is not None:
        raise refusal(stamp, where)
    return stamp.isoformat()


def _write_zone(zone: dt.tzinfo, writer: Writer, where: str) -> Json:
    """The name of a zone, or the seconds of a fixed offset."""
    del writer
    name = str(zone)
    if isinstance(zone, dt.timezone):
        offset = zone.utcoffset(None)
        return "UTC" if zone is dt.UTC else offset.total_seconds()
    try:
        pd.DatetimeIndex([], tz=name)
    except (KeyError, ValueError, OSError) as error:
        raise refusal(zone, where) from error
    return name


def _read_zone(plain: Json, reader: Reader) -> dt.tzinfo | None:
    del reader
    if isinstance(plain, str):
        return pd.DatetimeIndex([], tz=plain).tz
    return dt.timezone(dt.timedelta(seconds=plain))


def _write_scalar(value: np.generic, writer: Writer, where: str) -> Json:
    if value.dtype.kind in "mM":
        return [value.dtype.str, int(value.astype(np.int64))]
    if value.dtype.kind not in "biufU":
        raise refusal(value, where)
    return [value.dtype.str, writer(value.item(), where)]


def _read_scalar(plain: Json, reader: Reader) -> Any:
    dtype, value = plain
    return np.array(reader(value), dtype=dtype)[()]


def _write_ufunc(function: np.ufunc, writer: Writer, where: str) -> Json:
    del writer
    for module, names in UFUNCS.items():
        if names.get(function.__name__) is function:
            return [module, function.__name__]
    raise refusal(function, where)


def _read_ufunc(plain: Json, reader: Reader) -> np.ufunc:
    del reader
    module, name = plain
    function = UFUNCS.get(module, {}).get(name)
    if not isinstance(function, np.ufunc):
        raise PersistenceError(f"The saved model names {module}.{name}, which is no ufunc here.")
    return function


def _write_random_state(state: np.random.RandomState, writer: Writer, where: str) -> Json:
    name, keys, *rest = state.get_state(legacy=True)
    return [name, writer(np.asarray(keys, dtype=np.int64), where), *rest]


def _read_random_state(plain: Json, reader: Reader) -> np.random.RandomState:
    name, keys, *rest = plain
    state = np.random.RandomState()
    state.set_state((name, reader(keys).astype(np.uint32), *rest))
    return state


def _text(tag: str, of: type, write: Callable[[Any], Json], read: Callable[[Any], Any]) -> Codec:
    """A codec that needs neither writer nor reader."""
    return Codec(tag, of, lambda value, _, __: write(value), lambda plain, _: read(plain))


CODECS: tuple[Codec, ...] = (
    # numpy's float64 is a float, its str_ a str: they come before what they derive from.
    Codec("numpy", np.generic, _write_scalar, _read_scalar),
    _text("float", float, str, float),
    Codec(
        "tuple",
        tuple,
        lambda value, writer, where: writer(list(value), where),
        lambda plain, reader: tuple(reader(plain)),
    ),
    Codec(
        "dict",
        dict,
        lambda value, writer, where: writer([list(pair) for pair in value.items()], where),
        lambda plain, reader: dict(reader(plain)),
    ),
    Codec("array", np.ndarray, _write_array, _read_array),
    Codec("index", pd.Index, _write_index, _read_index),
    Codec("timestamp", pd.Timestamp, _write_stamp, _read_stamp),
    _text(
        "timedelta",
        pd.Timedelta,
        lambda value: [int(value.asm8.astype(np.int64)), value.unit],
        lambda plain: pd.Timedelta(np.timedelta64(plain[0], plain[1])),
    ),
    Codec(
        "datetime",
        dt.datetime,
        _write_datetime,
        lambda plain, _: dt.datetime.fromisoformat(plain),
    ),
    _text("date", dt.date, dt.date.isoformat, dt.date.fromisoformat),
    _text(
        "duration",
        dt.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda plain: dt.timedelta(*plain),
    ),
    Codec("zone", dt.tzinfo, _write_zone, _read_zone),
    _text("decimal", decimal.Decimal, str, decimal.Decimal),
    _text("uuid", uuid.UUID, str, uuid.UUID),
    _text("path", os.PathLike, os.fspath, Path),
    _text("device", torch.device, str, torch.device),
    Codec("ufunc", np.ufunc, _write_ufunc, _read_ufunc),
    Codec("random_state", np.random.RandomState, _write_random_state, _read_random_state),
)
