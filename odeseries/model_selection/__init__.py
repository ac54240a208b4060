"""Splitting series and panels in time and by series, and backtesting."""

from __future__ import annotations

from odeseries.model_selection.backtesting import backtest
from odeseries.model_selection.splitters import Fold, PanelSplit, TimeSplit

__all__ = ["Fold", "PanelSplit", "TimeSplit", "backtest"]
