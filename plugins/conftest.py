"""Lets the distributions' own tests run from a checkout, where none of them is installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
for folder in HERE.glob("odeseries-*"):
    sys.path.insert(0, str(folder))

# torchode is no dependency of the package itself.
collect_ignore_glob = [] if find_spec("torchode") else ["odeseries-torchode/*"]
