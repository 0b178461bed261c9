"""Judge a trial that came as one file, without a lake or a configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data.errors import ConfigError
from models.assignment import CONTROL
from models.effects import design_matrix
from models.flat_trial import FlatVerdict, judge_flat
from models.uplift import Comparison, nested
from models.uplift_gate import Terms, UpliftReport, judge_ranking

_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".xlsx": pd.read_excel,
}
_MOST_VALUES = 50


@dataclass(frozen=True, eq=False)
class FlatTrial:
    """A trial as one table, one row per customer.

    Parameters
    ----------
    arms
        Arm of each customer; ``control`` for who was left alone.
    outcomes
        What came of it, finite numbers.
    before
        What was known before.
    """

    arms: pd.Series
    outcomes: pd.DataFrame
    before: pd.DataFrame


def read_trial(path: Path, *, arm: str, outcomes: Sequence[str], control: str, ignore: Sequence[str] = ()) -> FlatTrial:
    """Read a trial from one file.

    Parameters
    ----------
    path, arm, outcomes, control, ignore
        As for ``evaluate_file``.

    Raises
    ------
    ConfigError
        There is no such file, column or arm, or an outcome is no number.
    """
    rows = _read(path)
    missing = [name for name in (arm, *outcomes) if name not in rows]
    if missing:
        raise ConfigError(f"no column {', '.join(missing)} in {path.name}", "one of the file", _columns(rows))
    arms = rows[arm].astype("str").where(rows[arm].notna())
    if control not in set(arms.dropna()) or arms.nunique() < 2 or arms.isna().any():
        known = ", ".join(sorted(set(arms.dropna()))[:8])
        raise ConfigError(f"arms {known} in column {arm}", f"{control} and another one in every row", "name --control")
    results = rows[list(outcomes)].apply(pd.to_numeric, errors="coerce").astype("float64")
    if results.isna().to_numpy().any():
        raise ConfigError("an outcome that is empty or no number", "a number in every row", "fill or drop these rows")
    kept = [name for name in rows if name not in {arm, *outcomes, *ignore} and not _is_id(rows[name])]
    return FlatTrial(arms.where(arms != control, CONTROL), results, rows[kept])


def evaluate_file(
    path: Path,
    *,
    arm: str,
    outcomes: Sequence[str],
    control: str,
    ignore: Sequence[str] = (),
    shares: Mapping[str, float] | None = None,
    is_randomised: bool = True,
) -> list[FlatVerdict]:
    """Judge a trial that came as one file.

    Parameters
    ----------
    path
        CSV, Parquet or XLSX, one row per customer.
    arm
        Column with the arm.
    outcomes
        Columns with what came of it.
    control
        Value of the arm column for who was left alone.
    ignore
        Columns that say nothing of what was known before; those with a value of its own for nearly every row, such as
        ids, are left out anyway.
    shares
        Planned share of each arm; null where nobody says.
    is_randomised
        Whether chance alone drew the arms.

    Raises
    ------
    ConfigError
        There is no such file, column or arm, or an outcome is no number.
    """
    found = read_trial(path, arm=arm, outcomes=outcomes, control=control, ignore=ignore)
    planned = None if shares is None else {CONTROL if one == control else one: part for one, part in shares.items()}
    return judge_flat(found.arms, found.outcomes, found.before, shares=planned, is_randomised=is_randomised)


def rank_file(trial: FlatTrial, outcome: str, terms: Terms, seed: int) -> dict[str, UpliftReport]:
    """Say for each arm of a trial whether customers can be ranked by what it does to them, and what to do.

    Parameters
    ----------
    trial
        From ``read_trial``; chance alone drew its arms, each with the same chance for everybody.
    outcome
        Which of its outcomes.
    terms
        What the outcome is worth, what a treatment costs, how many can be treated.
    seed
        Decides the folds.

    Raises
    ------
    TrainingError
        An arm is too small for any ranking.
    """
    names = sorted(set(trial.arms) - {CONTROL})
    found = {}
    for arm in names:
        rows = trial.arms.isin([arm, CONTROL]).to_numpy()
        is_treated = (trial.arms[rows] == arm).to_numpy(dtype=bool)
        values = trial.outcomes.loc[rows.tolist(), outcome].to_numpy(dtype=np.float64)
        chance = np.full(len(values), float(is_treated.mean()))
        data = Comparison(design_matrix(trial.before[rows]), values, is_treated, chance)
        found[arm] = judge_ranking(data, nested(data, seed), terms, seed, len(names))
    return found


def _read(path: Path) -> pd.DataFrame:
    if path.suffix.casefold() not in _READERS or not path.is_file():
        raise ConfigError(f"{path}", f"a file that ends in {', '.join(_READERS)}", "name one")
    rows: pd.DataFrame = _READERS[path.suffix.casefold()](path)
    return rows


def _columns(rows: pd.DataFrame) -> str:
    return f"it has {', '.join(map(str, rows.columns[:12]))}"


def _is_id(column: pd.Series) -> bool:
    """Say whether a column holds ids, dates or free text: too many values, and no measurement."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    if pd.api.types.is_integer_dtype(column):
        return bool(column.nunique() > 0.9 * len(column))
    return not pd.api.types.is_numeric_dtype(column) and bool(column.nunique() > _MOST_VALUES)
