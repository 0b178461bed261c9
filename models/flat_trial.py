"""Judge a trial that came as one table: arms, outcomes and what was known before, one row per customer.

Each arm is compared with control on each outcome, by intention to treat: plainly, and after Lin's regression on what
was known before. With several arms the interval that decides is wider, so that all hold at once. A draw that does not
look like one gives no verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from models.assignment import CONTROL
from models.effects import LEVEL, Effect, Flags, Floats, adjusted_difference, design_matrix, difference_in_means
from models.overlap import sample_ratio_p_value
from models.verdict import VerdictWord

BROKEN = 0.001
"""Both checks of a draw fire once in a thousand sound ones."""

_MIN_ARM = 30
_FEW = 10
_ROWS_PER_COLUMN = 20
_CAP = 0.999
_REDEEMED = ("redeem", "redemption", "coupon used", "clicked", "opened")


@dataclass(frozen=True)
class FlatVerdict:
    """What one arm did to one outcome.

    Attributes
    ----------
    arm, outcome
        Names.
    n_treated, n_control
        Customers.
    mean_treated, mean_control
        Means of the outcome.
    plain
        Difference of means with its own 95 % interval; of shares with few cases the interval is Newcombe's.
    effect
        The adjusted difference, its interval widened for the number of arms: what the word rests on.
    variance_saved_share
        What the adjustment took off the variance of the plain difference.
    capped
        The plain difference with the largest thousandth of values capped; null for shares.
    smallest
        The smallest effect that is worth having.
    word
        The verdict.
    n_more_needed
        Further customers that would settle it; null unless data are lacking.
    reasons
        Why there is no verdict; empty where there is one.
    """

    arm: str
    outcome: str
    n_treated: int
    n_control: int
    mean_treated: float
    mean_control: float
    plain: Effect
    effect: Effect
    variance_saved_share: float
    capped: Effect | None
    smallest: float
    word: VerdictWord
    n_more_needed: int | None
    reasons: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        compared = f"{self.n_treated:,} against {self.n_control:,}"
        told = f"{_number(self.effect.estimate)} [{_number(self.effect.low)} to {_number(self.effect.high)}]"
        whole = (
            f"{self.arm}, {self.outcome}: {self.word.value}; {told} more than {_number(self.mean_control)} ({compared})"
        )
        if self.reasons:
            return f"{whole}. No effect is claimed, because {'; '.join(self.reasons)}."
        saved = f"; what was known before takes {self.variance_saved_share:.1%} off the variance"
        more = "" if self.n_more_needed is None else f"; about {self.n_more_needed:,} more customers would settle it"
        return f"{whole}{saved}{more}{self._tail()}."

    def _tail(self) -> str:
        if self.capped is None or self.capped.is_significant == self.plain.is_significant:
            return ""
        return "; it hangs on a few very large values"


def judge_flat(
    arms: pd.Series,
    outcomes: pd.DataFrame,
    before: pd.DataFrame,
    *,
    shares: Mapping[str, float] | None = None,
    smallest: Mapping[str, float] | None = None,
    is_randomised: bool = True,
) -> list[FlatVerdict]:
    """Judge every arm on every outcome.

    Parameters
    ----------
    arms
        Arm of each customer; ``control`` for who was left alone.
    outcomes
        What came of it, finite numbers.
    before
        What was known before: numbers, flags or categories, null where unknown; it may have no columns.
    shares
        Planned share of each arm, to see whether customers were lost; null where nobody says.
    smallest
        Smallest effect worth having by outcome; a hundredth of the control mean where nobody says.
    is_randomised
        Whether chance alone drew the arms; else there is no verdict here.

    Raises
    ------
    ValueError
        There is no control arm or no other, or an outcome is null or infinite.
    """
    names = sorted(set(arms.dropna()) - {CONTROL})
    if arms.isna().any() or CONTROL not in set(arms) or not names:
        raise ValueError("an arm for everybody, one of them control")
    if not np.isfinite(outcomes.to_numpy(dtype=np.float64)).all():
        raise ValueError("an outcome must be finite and not null")
    found = []
    for arm in names:
        rows = arms.isin([arm, CONTROL]).to_numpy()
        is_treated = (arms[rows] == arm).to_numpy(dtype=bool)
        covariates = design_matrix(before[rows])
        doubts = _doubts(arm, is_treated, covariates, shares, is_randomised=is_randomised)
        for outcome, column in outcomes[rows].items():
            values = column.to_numpy(dtype=np.float64)
            least = (smallest or {}).get(str(outcome), 0.01 * abs(float(values[~is_treated].mean())))
            found.append(_verdict((arm, str(outcome)), values, is_treated, covariates, least, len(names), doubts))
    return found


def _verdict(  # noqa: PLR0917
    names: tuple[str, str],
    values: Floats,
    is_treated: Flags,
    covariates: Floats,
    least: float,
    n_arms: int,
    doubts: tuple[str, ...],
) -> FlatVerdict:
    n_treated, n_control = int(is_treated.sum()), int((~is_treated).sum())
    plain = plain_difference(values, is_treated)
    affordable = min(n_treated, n_control) >= _ROWS_PER_COLUMN * (covariates.shape[1] + 1)
    adjusted = adjusted_difference(values, is_treated, covariates if affordable else covariates[:, :0])
    is_share = set(np.unique(values)) <= {0.0, 1.0}
    effect = (plain if _is_rare(values, is_treated) else adjusted).among(n_arms)
    word = VerdictWord.NOT_PROVEN if doubts else _word(effect, least, min(n_treated, n_control))
    return FlatVerdict(
        arm=names[0],
        outcome=names[1],
        n_treated=n_treated,
        n_control=n_control,
        mean_treated=float(values[is_treated].mean()),
        mean_control=float(values[~is_treated].mean()),
        plain=plain,
        effect=effect,
        variance_saved_share=_saved(adjusted, values, is_treated),
        capped=None if is_share else difference_in_means(np.minimum(values, np.quantile(values, _CAP)), is_treated),
        smallest=least,
        word=word,
        n_more_needed=_n_more(effect, least, len(values)) if word == VerdictWord.NOT_ENOUGH_DATA else None,
        reasons=doubts,
    )


def plain_difference(values: Floats, is_treated: Flags) -> Effect:
    """Compare means by Welch's interval, or by Newcombe's where they are shares of few cases.

    Parameters
    ----------
    values
        One finite number per customer.
    is_treated
        Who was assigned to the treatment.

    Examples
    --------
    >>> effect = plain_difference(np.repeat([1.0, 0.0, 0.0], [3, 47, 50]), np.repeat([True, False], 50))
    >>> round(effect.low, 3), round(effect.high, 3)
    (-0.021, 0.162)
    """
    welch = difference_in_means(values, is_treated)
    if not _is_rare(values, is_treated):
        return welch
    (low_1, high_1), (low_0, high_0) = (_wilson(values[rows]) for rows in (is_treated, ~is_treated))
    mean_1, mean_0 = float(values[is_treated].mean()), float(values[~is_treated].mean())
    low = welch.estimate - float(np.hypot(mean_1 - low_1, high_0 - mean_0))
    high = welch.estimate + float(np.hypot(high_1 - mean_1, mean_0 - low_0))
    return Effect(welch.estimate, (high - low) / 2 / float(stats.norm.ppf((1 + LEVEL) / 2)), low, high)


def _is_rare(values: Floats, is_treated: Flags) -> bool:
    """Say whether an outcome is a share with so few cases in an arm that the normal interval is not to be believed."""
    if not set(np.unique(values)) <= {0.0, 1.0}:
        return False
    cases = [(values[rows].sum(), (1 - values[rows]).sum()) for rows in (is_treated, ~is_treated)]
    return bool(np.min(cases) < _FEW)


def _wilson(values: Floats) -> tuple[float, float]:
    interval = stats.binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, "wilson")
    return float(interval.low), float(interval.high)


def _doubts(
    arm: str, is_treated: Flags, covariates: Floats, shares: Mapping[str, float] | None, *, is_randomised: bool
) -> tuple[str, ...]:
    found = [] if is_randomised else ["the targeted were not chosen at random"]
    if any(word in arm.casefold() for word in _REDEEMED):
        found.append(f"the arm “{arm}” is what customers did after the offer, not what was drawn for them")
    if shares is not None:
        share = shares[arm] / (shares[arm] + shares[CONTROL])
        if sample_ratio_p_value(is_treated, np.full(len(is_treated), share)) < BROKEN:
            found.append(f"{is_treated.mean():.1%} are in the arm where {share:.1%} were planned")
    if balance_p_value(is_treated, covariates) < BROKEN:
        found.append("the arms differed before the start by more than chance")
    return tuple(found)


def balance_p_value(is_treated: Flags, covariates: Floats) -> float:
    """Test at once whether any of the covariates tells the arms apart (F test of the regression of the arm on them).

    Parameters
    ----------
    is_treated
        Who was assigned to the treatment.
    covariates
        One finite row per customer.
    """
    n = len(is_treated)
    target = is_treated - is_treated.mean()
    if covariates.shape[1] == 0:
        return 1.0
    columns = covariates - covariates.mean(axis=0)
    slopes, _, rank, _ = np.linalg.lstsq(columns, target, rcond=None)
    freedom = n - 1 - int(rank)
    if rank == 0 or freedom < 1:
        return 1.0
    left = float(((target - columns @ slopes) ** 2).sum())
    explained = max(float(target @ target) - left, 0.0)
    return float(stats.f.sf(explained / int(rank) / (left / freedom), int(rank), freedom)) if left > 0 else 0.0


def _word(effect: Effect, least: float, smaller_arm: int) -> VerdictWord:
    if effect.standard_error == 0 or smaller_arm < _MIN_ARM:
        return VerdictWord.NOT_ENOUGH_DATA
    if effect.low > 0:
        return VerdictWord.WORKS if effect.high >= least else VerdictWord.DOES_NOT
    return VerdictWord.DOES_NOT if effect.high < least else VerdictWord.NOT_ENOUGH_DATA


def _n_more(effect: Effect, least: float, n: int) -> int | None:
    """Return the customers that shrink the interval to the smallest effect worth having; see ``models.campaign``."""
    if effect.standard_error == 0 or least <= 0:
        return None
    return max(0, int(np.ceil(n * (((effect.high - effect.low) / least) ** 2 - 1))))


def _saved(adjusted: Effect, values: Floats, is_treated: Flags) -> float:
    plain = difference_in_means(values, is_treated).standard_error
    return 1 - (adjusted.standard_error / plain) ** 2 if plain > 0 else 0.0


def _number(value: float) -> str:
    return f"{value:,.4g}"
