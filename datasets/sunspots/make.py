"""Rebuild data.csv; run ``python -m datasets.sunspots.make`` in the top folder."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from datasets.wheels import wheel_files, write


def main() -> None:
    """Fetch the source package and write the file beside this script."""
    (source,) = wheel_files("statsmodels==0.15.0", "datasets/sunspots/sunspots.csv").values()
    frame = pd.read_csv(io.BytesIO(source)).set_axis(["year", "sunspots"], axis=1)
    text = frame.to_csv(index=False, float_format="%g", lineterminator="\n")
    write(Path(__file__).with_name("data.csv"), text)


if __name__ == "__main__":
    main()
