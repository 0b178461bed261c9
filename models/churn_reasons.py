"""Reasons: what raises a customer's risk above that of a typical customer, exactly, in plain words.

The log-odds of the churn model are a sum of one term per theme. So the effect of a theme is the change of the log-odds
when its features alone are moved from the typical customer's values to this customer's: no approximation, and the
effects add up to the whole difference. A reason says what goes together with leaving, not what causes it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import TrainingError
from models.phrases import Phrase
from models.spec import FloatArray, design

LogOdds = Callable[[pd.DataFrame], FloatArray]
N_REASONS = 3
# An effect below this changes a risk of 20 % by less than one point: too little to tell anybody.
LEAST_EFFECT = 0.05
_ROUNDING = 1e-6
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True, eq=False)
class Effects:
    """Hold what every theme adds to the log-odds of every customer.

    Parameters
    ----------
    themes
        Customers x themes, in log-odds against the typical customer; a row adds up to its difference from ``base``.
    features
        Customers x features: the effect of each feature alone. They add up within a theme only if its features do not
        interact; they choose which feature speaks for its theme.
    theme_of
        Theme of each feature.
    base
        Log-odds of the typical customer.
    typical
        The typical customer: the median of every feature over the comparison group.
    """

    themes: pd.DataFrame
    features: pd.DataFrame
    theme_of: Mapping[str, str]
    base: float
    typical: pd.Series


def effects(
    log_odds: LogOdds,
    frame: pd.DataFrame,
    theme_of: Mapping[str, str],
    comparison: pd.DataFrame,
    categories: Collection[str] = (),
) -> Effects:
    """Return the exact effect of every theme on every customer's log-odds.

    Parameters
    ----------
    log_odds
        Function of a frame that gives the log-odds: ``ChurnModel.log_odds``.
    frame
        Customers to be explained.
    theme_of
        Theme of every feature of the model: ``ChurnModel.theme_of``.
    comparison
        Customers whose medians make the typical customer.
    categories
        Features that hold codes: their typical value is the most frequent one.

    Returns
    -------
    Effects
        Indexed like the frame.

    Raises
    ------
    TrainingError
        If the terms do not add up: the model mixes themes, so no exact reason exists.
    """
    names = list(theme_of)
    X = design(frame, names)
    typical = _typical(design(comparison, names), categories)
    base = float(log_odds(typical.to_frame().T)[0])
    members = _members(theme_of)
    alone = [[name] for name, theme in theme_of.items() if len(members[theme]) > 1]
    moved = _moved(log_odds, X, typical, [*members.values(), *alone])
    by_theme = {theme: found - base for theme, found in zip(members, moved[: len(members)], strict=True)}
    of_one = {group[0]: found - base for group, found in zip(alone, moved[len(members) :], strict=True)}
    by_feature = {name: of_one.get(name, by_theme[theme]) for name, theme in theme_of.items()}
    themes = pd.DataFrame(by_theme, index=X.index)
    gap = float(np.abs(log_odds(X) - base - themes.sum(axis=1)).max()) if len(X) else 0.0
    if gap > _ROUNDING:
        raise TrainingError(f"the terms miss the log-odds by {gap:.2g}", "an additive model", "let no themes interact")
    return Effects(themes, pd.DataFrame(by_feature, index=X.index), theme_of, base, typical)


def _typical(X: pd.DataFrame, categories: Collection[str]) -> pd.Series:
    """Return medians, and of a category the most frequent value, the lowest of equals."""
    middle = X.median()
    for name in middle.index.intersection(list(categories)):
        middle[name] = X[name].mode().min()
    return middle


def _members(theme_of: Mapping[str, str]) -> dict[str, list[str]]:
    return {theme: [n for n, t in theme_of.items() if t == theme] for theme in dict.fromkeys(theme_of.values())}


def _moved(log_odds: LogOdds, X: pd.DataFrame, typical: pd.Series, groups: Sequence[Sequence[str]]) -> list[FloatArray]:
    """Return the log-odds of the typical customer with each group of features taken from each row.

    Asking an estimator costs more than its answer for few rows, so groups are asked together, in bounded memory.
    """
    if X.empty:
        return [np.empty(0) for _ in groups]
    found: list[FloatArray] = []
    waiting: list[tuple[pd.DataFrame, npt.NDArray[np.int64]]] = []
    for place, group in enumerate(groups):
        values, inverse = np.unique(X[list(group)].to_numpy(), axis=0, return_inverse=True)
        moved = pd.DataFrame(np.tile(typical.to_numpy(), (len(values), 1)), columns=typical.index)
        moved[list(group)] = values
        waiting.append((moved, inverse.ravel()))
        if place == len(groups) - 1 or sum(len(rows) for rows, _ in waiting) >= _ROWS_AT_ONCE:
            said = log_odds(pd.concat([rows for rows, _ in waiting], ignore_index=True))
            parts = np.split(said, np.cumsum([len(rows) for rows, _ in waiting])[:-1])
            found += [part[back] for part, (_, back) in zip(parts, waiting, strict=True)]
            waiting = []
    return found


def reasons(
    found: Effects, frame: pd.DataFrame, phrases: Mapping[str, Phrase], n_reasons: int = N_REASONS
) -> pd.Series:
    """Return up to three sentences per customer, strongest first, joined by '; '.

    Parameters
    ----------
    found
        The effects of the same customers.
    frame
        The customers' features, companions of phrases included; indexed like the effects.
    phrases
        Phrase of each feature that may be said; a feature without one is never named.
    n_reasons
        Most sentences per customer.

    Returns
    -------
    pandas.Series
        Text; empty where nothing raises the risk above the typical customer's. One sentence per theme, about the
        feature of the theme with the largest effect of its own.
    """
    sayable = {name: theme for name, theme in found.theme_of.items() if name in phrases}
    members = _members(sayable)
    strength = found.themes[list(members)].to_numpy()
    # A feature that is null for a customer has nothing to say of them, whatever the model makes of it.
    said = found.features.where(frame[list(found.features)].notna())
    alone = {theme: said[group].fillna(-np.inf).to_numpy() for theme, group in members.items()}
    order = np.argsort(-strength, axis=1, kind="stable")
    texts = []
    for i, known in enumerate(frame.to_dict("records")):
        sentences: list[str] = []
        for theme, effect in ((list(members)[j], strength[i, j]) for j in order[i]):
            best = int(np.argmax(alone[theme][i]))
            if effect < LEAST_EFFECT or len(sentences) == n_reasons:
                break
            if alone[theme][i, best] > 0:
                name = members[theme][best]
                sentences.append(phrases[name].about(name, known, float(found.typical[name])))
        texts.append("; ".join(sentences))
    return pd.Series(texts, index=frame.index, name="reasons", dtype="str")
