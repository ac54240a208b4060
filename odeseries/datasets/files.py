"""The data files: found in the installed package or in a checkout, and checked."""

from __future__ import annotations

import gzip
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from odeseries.errors import DataError

__all__ = ["CARDS", "Card", "read_table"]

INSTALLED = Path(__file__).parent / "data"
CHECKOUT = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class Card:
    """What is known of a data file.

    Attributes
    ----------
    file : str
        Name below the folder of the data set.
    sha256 : str
        Digest of the file.
    what, licence : str
        In words.
    rows, series : int
        Size.
    """

    file: str
    sha256: str
    what: str
    licence: str
    rows: int
    series: int


CARDS = {
    "antarctic_co2": Card(
        "data.csv",
        "0056ecc1d7a025434a19ab03e705f6c3d716f89ea3517459a55ded7330066dab",
        "CO2 in Antarctic ice over 805,000 years, ppm, irregular",
        "free, cite the original",
        1901,
        1,
    ),
    "co2": Card(
        "data.csv",
        "ccc9f7594e8cd5ce27b9821c28c487cab933bd1050dae9ca9646faeaae0e642a",
        "weekly atmospheric CO2 at Mauna Loa, 1958-2001, ppm, with gaps",
        "public domain",
        2284,
        1,
    ),
    "glucose": Card(
        "data.csv.gz",
        "24ad930f3899366d13606a6403295eea80bd825bcefff9c539c25afb8f4c85e7",
        "glucose of one person every five minutes in 2010, mg/dL, with gaps",
        "public domain",
        52278,
        1,
    ),
    "lynx_hare": Card(
        "data.csv",
        "04416db7e74cd159ed03fbfde1b388adb14645ad75fa7dd7103651712651c21a",
        "lynx and hare pelts of Hudson Bay, 1900-1920, thousands a year",
        "facts",
        21,
        1,
    ),
    "sunspots": Card(
        "data.csv",
        "74b8e3acb9886b68abe9c56f6081257d522e2cb2470f17dbf597b396f4ea1706",
        "yearly mean sunspot numbers, 1700-2008",
        "public domain",
        309,
        1,
    ),
    "variable_stars": Card(
        "data.csv.gz",
        "acd7f01ab73f62b6c27c7bfacd021be0000f918b79c2c29a4ab308de05cab77b",
        "light curves of variable stars, magnitudes at irregular nights",
        "MIT and BSD-3-Clause",
        20869,
        30,
    ),
}


def read_table(name: str) -> pd.DataFrame:
    """The table of a data set.

    Raises
    ------
    DataError
        If the file is missing or differs from the one that was shipped.
    """
    card = CARDS[name]
    places = [folder / name / card.file for folder in (INSTALLED, CHECKOUT)]
    found = [path for path in places if path.is_file()]
    if not found:
        raise DataError(f"The file of '{name}' is missing ({places[0]}): reinstall odeseries.")
    content = found[0].read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise DataError(
            f"{found[0]} is not the file that was shipped: its SHA-256 is {digest[:12]}..., not "
            f"{card.sha256[:12]}.... Reinstall odeseries."
        )
    text = gzip.decompress(content) if card.file.endswith(".gz") else content
    return pd.read_csv(io.BytesIO(text))
