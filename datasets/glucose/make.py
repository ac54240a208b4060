"""Rebuild data.csv.gz; run ``python -m datasets.glucose.make`` in the top folder."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pandas as pd

from datasets.wheels import wheel_files, write


def main() -> None:
    """Fetch the source package, average equal stamps and write the file beside this script."""
    (source,) = wheel_files("bokeh-sampledata==2026.1", "_data/CGM.csv.gz").values()
    frame = pd.read_csv(io.BytesIO(gzip.decompress(source)))
    glucose = frame.groupby("datetime", sort=True)["glucose"].mean()
    text = glucose.rename_axis("time").to_csv(float_format="%g", lineterminator="\n")
    write(Path(__file__).with_name("data.csv.gz"), text)


if __name__ == "__main__":
    main()
