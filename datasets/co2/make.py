"""Rebuild data.csv; run ``python -m datasets.co2.make`` in the top folder of the repository."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from datasets.wheels import wheel_files, write


def main() -> None:
    """Fetch the source package and write the file beside this script."""
    (source,) = wheel_files("statsmodels==0.15.0", "datasets/co2/co2.csv").values()
    frame = pd.read_csv(io.BytesIO(source), dtype={"date": str})
    time = pd.to_datetime(frame["date"], format="%Y%m%d").dt.strftime("%Y-%m-%d")
    out = pd.DataFrame({"time": time, "co2": frame["co2"]})
    write(Path(__file__).with_name("data.csv"), out.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
