"""Forecasts from many cutoffs, against what happened."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from odeseries.arguments import probabilities
from odeseries.frames.columns import refuse_infinite, table_of_floats
from odeseries.frames.foreign import as_pandas
from odeseries.model_selection.rows import Rows, read_rows
from odeseries.model_selection.splitters import Fold, TimeSplit

__all__ = ["backtest"]


def backtest(
    forecaster: Any,
    X: Any,
    y: Any = None,
    *,
    cv: TimeSplit,
    alpha: float | Sequence[float] = (0.05, 0.5, 0.95),
    refit: bool = True,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Quantile forecasts from every cutoff, beside the truth.

    Parameters
    ----------
    forecaster : BaseForecaster
        Cloned, and left as it is.
    X : Series or DataFrame
        Data in any form that a forecaster is fitted on.
    y : Series, DataFrame or array, optional
        The targets, row by row, if the columns of `X` are covariates.
    cv : TimeSplit
        Where the cutoffs are, and how far each forecast goes; its ``time_col``, ``id_col`` and
        ``targets`` are those of the forecaster, and may be left out.
    alpha : float or sequence of float
        Different probabilities of the quantiles, in (0, 1).
    refit : bool
        Whether to fit at every cutoff. If not, the fit at the first cutoff serves all, and what
        lies up to a later one is passed as the history.
    n_jobs : int, optional
        Cutoffs that are worked on at once, through joblib; -1 for all processors.

    Returns
    -------
    DataFrame
        One row an observed value: ``cutoff``, ``series`` (of a panel), ``time``, ``lead`` (time
        since the cutoff), ``target``, ``truth``, and a column for each of `alpha`; by cutoff and
        target, in the order of the rows of `X`.

    Raises
    ------
    DataError
        If the data can't be split or used, or a value is infinite.
    TypeError
        If `cv` has no cutoffs, or the forecaster no quantiles.
    ValueError
        If `alpha` holds no probability, or one twice, or `cv` and the forecaster name different
        columns.

    Examples
    --------
    >>> import odeseries as ode
    >>> from odeseries.metrics import coverage
    >>> wave = ode.datasets.make_periodic(1, 80).loc[0, "y"]
    >>> model = ode.LatentODEForecaster(1.0, max_epochs=1, random_state=0)
    >>> table = ode.backtest(model, wave, cv=ode.TimeSplit(1.0, n_splits=2), refit=False)
    >>> list(table.columns)
    ['cutoff', 'time', 'lead', 'target', 'truth', 0.05, 0.5, 0.95]
    >>> 0 <= coverage(table["truth"], table[0.05], table[0.95]) <= 1
    True
    """
    if not hasattr(cv, "folds"):
        raise TypeError(
            f"cv={cv!r} has no cutoffs to forecast from: pass a TimeSplit. Scores of other splits "
            "are given by scikit-learn's cross_val_score."
        )
    levels = _levels(alpha)
    X, y = as_pandas(X), as_pandas(y)
    cv = _agreed(cv, forecaster) if isinstance(cv, TimeSplit) else cv
    folds = cv.folds(X, y)
    rows = _in_floats(read_rows(X, y, cv.time_col, cv.id_col))
    if not hasattr(forecaster, "predict_quantiles"):
        raise TypeError(
            f"A {type(forecaster).__name__} forecasts no quantiles: pass a forecaster; of a "
            "pipeline its last step, with an X that its transformers made."
        )
    fitted = None if refit else clone(forecaster).fit(*_seen(X, y, folds[0]))
    run = delayed(_forecast)
    answers = Parallel(n_jobs=n_jobs)(run(forecaster, fitted, X, y, fold, levels) for fold in folds)
    parts = [_tidy(answer, rows, fold, levels) for answer, fold in zip(answers, folds, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _in_floats(rows: Rows) -> Rows:
    """The rows with values that a fit would take, also where they are the truth alone."""
    series, columns = rows.who, rows.values.columns

    def place(row: int) -> str:
        of = "" if series is None else f"series {series[row : row + 1].tolist()[0]!r}, "
        return f"{of}time {rows.when[row]}"

    values = table_of_floats(rows.values)
    refuse_infinite(values, tuple(columns), place)
    return replace(rows, values=pd.DataFrame(values, columns=columns))


def _levels(alpha: float | Sequence[float]) -> list[float]:
    """Different probabilities."""
    levels = probabilities(alpha, "alpha")
    if len(set(levels)) < len(levels):
        raise ValueError(f"alpha={alpha!r} must name no probability twice.")
    return levels


def _agreed(cv: TimeSplit, forecaster: Any) -> TimeSplit:
    """The splitter with the columns of the forecaster where it has none."""
    columns = {}
    for name in ("time_col", "id_col", "targets"):
        ours, theirs = getattr(cv, name), getattr(forecaster, name, None)
        unknown = not hasattr(forecaster, name) or (name == "targets" and theirs is None)
        if ours is not None and not unknown and not _may_be_same(ours, theirs):
            raise ValueError(
                f"cv has {name}={ours!r}, but the forecaster has {name}={theirs!r}: give the "
                "forecaster what is right, and leave it out of cv."
            )
        columns[name] = theirs if ours is None else ours
    return replace(cv, **columns)


def _may_be_same(one: Any, other: Any) -> bool:
    """Whether labels, or lists of them in any order, can name the same columns."""
    return any(a == b for a in _readings(one) for b in _readings(other))


def _readings(labels: Any) -> list[set[Hashable]]:
    """What a label or a list of them can name; a tuple may be either."""
    several = [set(labels)] if isinstance(labels, (list, tuple)) else []
    return several if isinstance(labels, list) else [*several, {labels}]


def _seen(X: Any, y: Any, fold: Fold) -> tuple[Any, Any]:
    """Data up to the cutoff."""
    if isinstance(y, (pd.Series, pd.DataFrame)):
        return X.iloc[fold.train], y.iloc[fold.train]
    return X.iloc[fold.train], None if y is None else y[fold.train]


def _forecast(
    forecaster: Any, fitted: Any, X: Any, y: Any, fold: Fold, alpha: list[float]
) -> pd.DataFrame:
    """Quantiles of the rows after the cutoff."""
    ahead = X.iloc[fold.test]
    seen, targets = _seen(X, y, fold)
    if fitted is None:
        answer = clone(forecaster).fit(seen, targets).predict_quantiles(ahead, alpha=alpha)
    else:
        history = seen if y is None else (seen, targets)
        answer = fitted.predict_quantiles(ahead, history=history, alpha=alpha)
    assert isinstance(answer, pd.DataFrame), "what every forecaster returns"
    return answer


def _tidy(answer: pd.DataFrame, rows: Rows, fold: Fold, alpha: list[float]) -> pd.DataFrame:
    """One row an observed value."""
    when = rows.when[fold.test]
    keys: dict[str, Any] = {"cutoff": pd.Index([fold.cutoff]).repeat(len(when)), "time": when}
    if rows.who is not None:
        keys = {"cutoff": keys["cutoff"], "series": rows.who[fold.test], "time": when}
    keys["lead"] = when - fold.cutoff
    columns: list[Any] = answer.columns.tolist()
    targets = [target for target, level in columns if level == alpha[0]]
    truth = rows.values.iloc[fold.test]
    parts = []
    for target in targets:
        part = pd.DataFrame(keys)
        part["target"] = pd.Index([target], tupleize_cols=False).repeat(len(part))
        part["truth"] = truth[target].to_numpy()
        quantiles = answer[[(target, level) for level in alpha]].to_numpy()
        part = pd.concat([part, pd.DataFrame(quantiles, columns=alpha)], axis=1)
        parts.append(part)
    return pd.concat(parts, ignore_index=True).dropna(subset=["truth"], ignore_index=True)
