"""Rebuild data.csv; run ``python -m datasets.lynx_hare.make`` in the top folder."""

from __future__ import annotations

from pathlib import Path

from datasets.wheels import write

TABLE = """year lynx hare
1900 4.0 30.0
1901 6.1 47.2
1902 9.8 70.2
1903 35.2 77.4
1904 59.4 36.3
1905 41.7 20.6
1906 19.0 18.1
1907 13.0 21.4
1908 8.3 22.0
1909 9.1 25.4
1910 7.4 27.1
1911 8.0 40.3
1912 12.3 57.0
1913 19.5 76.6
1914 45.7 52.3
1915 51.1 19.5
1916 29.7 11.2
1917 15.8 7.6
1918 9.7 14.6
1919 10.1 16.2
1920 8.6 24.7
"""


def main() -> None:
    """Write the published table, which is small enough to stand here, beside this script."""
    write(Path(__file__).with_name("data.csv"), TABLE.replace(" ", ","))


if __name__ == "__main__":
    main()
