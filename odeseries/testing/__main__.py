"""``python -m odeseries.testing dynamics vdp:vdp``: the report of a class, by its name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from odeseries import plugins
from odeseries.testing.checks import check_class

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kit; the exit status is 0 if every check passes, otherwise 1."""
    parser = argparse.ArgumentParser(prog="odeseries.testing", description=__doc__)
    parser.add_argument("kind", choices=["dynamics", "solver", "forecaster"])
    parser.add_argument("name", help="as it is typed elsewhere: rk4, vdp:vdp")
    parser.add_argument("--dim", type=int, default=4, help="dimension of a dynamics (default 4)")
    args = parser.parse_args(arguments)
    report = check_class(plugins.get(args.kind, args.name), dim=args.dim)
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
