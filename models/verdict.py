"""What is said about a campaign: one word, the figures behind it, and sentences that claim no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

import pandas as pd

from models.effects import Effect


class VerdictWord(StrEnum):
    """The four things that can be said of a campaign; the last is the only one without randomisation."""

    WORKS = "works"
    DOES_NOT = "does not"
    NOT_ENOUGH_DATA = "not enough data"
    NOT_PROVEN = "not proven"


@dataclass(frozen=True)
class Verdict:
    """The judgement of one campaign.

    Attributes
    ----------
    campaign_id, name, is_randomised, window_days
        As recorded in the campaign ledger.
    n_treated, n_control
        Customers compared: targeted, and eligible but not targeted.
    word
        The verdict.
    reasons
        Why nothing causal is claimed; empty where something is.
    smallest_effect_cents
        The smallest effect per customer that is worth having; null where no effect was estimated.
    is_break_even
        Whether that is the effect that pays for a contact, and not a stand-in because no cost is known.
    naive, effect, placebo, naive_placebo
        Cents per targeted customer in the window: the plain difference, the estimate, and both in the window before the
        start, when the campaign cannot have had an effect. Null where the groups are too small.
    variance_saved_share
        What the adjustment took off the variance of the plain difference; null unless randomised.
    n_more_needed
        Further customers, assigned in the same proportion, that would settle it; null unless data are lacking.
    propensity_auc, extreme_share
        Overlap, see ``models.overlap``; null where the assignment probability is known.
    overlap_share
        Share of the targeted who were in another campaign at the time; null where unknown.
    after
        The effect in the window after the outcome window; null where that is not over or nobody drew lots.
    net
        Margin after cost per targeted customer; null where nothing causal is claimed.
    e_value
        How many times as likely a hidden reason would have to make both being targeted and spending more, to explain
        the adjusted difference; 1 where nothing needs explaining, null where lots were drawn.
    """

    campaign_id: str
    name: str
    is_randomised: bool
    window_days: int
    n_treated: int
    n_control: int
    word: VerdictWord
    reasons: tuple[str, ...] = ()
    smallest_effect_cents: float | None = None
    is_break_even: bool = False
    naive: Effect | None = None
    effect: Effect | None = None
    placebo: Effect | None = None
    naive_placebo: Effect | None = None
    variance_saved_share: float | None = None
    n_more_needed: int | None = None
    propensity_auc: float | None = None
    extreme_share: float | None = None
    overlap_share: float | None = None
    after: Effect | None = None
    net: Effect | None = None
    e_value: float | None = None

    @property
    def words(self) -> str:
        """The verdict in sentences for a manager."""
        sayings = {
            VerdictWord.WORKS: _say_works,
            VerdictWord.DOES_NOT: _say_does_not,
            VerdictWord.NOT_ENOUGH_DATA: _say_not_enough_data,
            VerdictWord.NOT_PROVEN: _say_not_proven,
        }
        return " ".join(filter(None, (sayings[self.word](self), _say_after(self), _say_hidden(self))))


def money(cents: float) -> str:
    """Write cents as an amount with two decimals.

    Examples
    --------
    >>> money(-123456), money(-0.3)
    ('-1,234.56', '0.00')
    """
    text = f"{cents / 100:,.2f}"
    return text if text.strip("-0.,") else text.lstrip("-")


def verdicts_frame(verdicts: Sequence[Verdict], as_of: datetime) -> pd.DataFrame:
    """Return verdicts as the published table ``campaign_verdicts``, one row per campaign, in order of id.

    Parameters
    ----------
    verdicts
        At most one per campaign.
    as_of
        The instant of the run, naive UTC.
    """
    rows = [_row(verdict) for verdict in sorted(verdicts, key=lambda verdict: verdict.campaign_id)]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
    frame.insert(0, "as_of", pd.Series(as_of, index=frame.index, dtype="datetime64[us]"))
    return frame


_COLUMNS: dict[str, str] = (
    dict.fromkeys(("campaign_id", "name"), "str")
    | {"is_randomised": "bool"}
    | dict.fromkeys(("n_treated", "n_control", "naive_cents"), "Int64")
    | dict.fromkeys(("effect_cents", "effect_low_cents", "effect_high_cents"), "Int64")
    | dict.fromkeys(("placebo_cents", "placebo_low_cents", "placebo_high_cents"), "Int64")
    | dict.fromkeys(("spend_placebo_naive_cents", "n_more_needed"), "Int64")
    | dict.fromkeys(("variance_saved_share", "propensity_auc", "extreme_share", "overlap_share"), "float64")
    | dict.fromkeys(("verdict", "words"), "str")
)


def _row(verdict: Verdict) -> dict[str, object]:
    same = ("campaign_id", "name", "is_randomised", "n_treated", "n_control", "variance_saved_share", "n_more_needed")
    diagnostics = ("propensity_auc", "extreme_share", "overlap_share")
    return {
        **{name: getattr(verdict, name) for name in same + diagnostics},
        "naive_cents": _cents(verdict.naive, "estimate"),
        "spend_placebo_naive_cents": _cents(verdict.naive_placebo, "estimate"),
        **_interval("effect", verdict.effect),
        **_interval("placebo", verdict.placebo),
        "verdict": verdict.word.value,
        "words": verdict.words,
    }


def _interval(name: str, effect: Effect | None) -> dict[str, int | None]:
    pick = partial(_cents, effect)
    return {f"{name}_cents": pick("estimate"), f"{name}_low_cents": pick("low"), f"{name}_high_cents": pick("high")}


def _cents(effect: Effect | None, part: str) -> int | None:
    return None if effect is None else round(getattr(effect, part))


def _with_interval(effect: Effect) -> str:
    return f"{money(effect.estimate)} [95 %: {money(effect.low)} to {money(effect.high)}]"


def _say_after(verdict: Verdict) -> str:
    """Tell what was only bought earlier; silent where that cannot be seen."""
    if verdict.after is None or verdict.effect is None or verdict.after.high >= 0:
        return ""
    left = f"{money(verdict.effect.estimate + verdict.after.estimate)} in {2 * verdict.window_days} days"
    return f"Some of it was only bought earlier: {_with_interval(verdict.after)} in the window after, {left}."


def _say_hidden(verdict: Verdict) -> str:
    """Tell how easily something hidden explains a difference that the adjustment left."""
    if verdict.e_value is None or verdict.e_value <= 1:
        return ""
    return (
        f"A hidden reason that makes being targeted and spending more {verdict.e_value:.1f} times as likely each would "
        "explain the difference."
    )


def _say_effect(verdict: Verdict) -> str:
    assert verdict.effect is not None
    saved = verdict.variance_saved_share
    compared = f"{verdict.n_treated:,} targeted at random against {verdict.n_control:,}"
    is_told = saved is not None and saved > 0
    adjusted = f"; what they did before explains {saved:.0%} of the variance" if is_told else ""
    where = f"per targeted customer in {verdict.window_days} days ({compared}{adjusted})"
    return f"{_with_interval(verdict.effect)} more spend {where}."


def _say_bar(verdict: Verdict) -> str:
    assert verdict.smallest_effect_cents is not None
    bar = money(verdict.smallest_effect_cents)
    if verdict.is_break_even:
        return f"the {bar} that pays for a contact"
    return f"{bar}, 1 % of spend (no cost of a contact is known)"


def _say_works(verdict: Verdict) -> str:
    effect, bar = verdict.effect, verdict.smallest_effect_cents
    assert effect is not None
    assert bar is not None
    pays = (
        f"That exceeds {_say_bar(verdict)}." if effect.low > bar else f"Whether it exceeds {_say_bar(verdict)} is open."
    )
    return f"It works: {_say_effect(verdict)} {pays}"


def _say_does_not(verdict: Verdict) -> str:
    return f"It does not work: {_say_effect(verdict)} Even the upper end is below {_say_bar(verdict)}."


def _say_not_enough_data(verdict: Verdict) -> str:
    if verdict.effect is None:
        return (
            f"Not enough data: {verdict.n_treated:,} targeted and {verdict.n_control:,} other customers; "
            f"at least {verdict.n_more_needed:,} more are needed before anything can be estimated."
        )
    more = verdict.n_more_needed
    told = "Spend did not vary at all." if more is None else f"About {more:,} more customers would settle it."
    return f"Not enough data: {_say_effect(verdict)} It may be nothing, or more than {_say_bar(verdict)}. {told}"


def _say_not_proven(verdict: Verdict) -> str:
    why = f"Not proven, because {'; '.join(verdict.reasons)}."
    if verdict.effect is None or verdict.naive is None or verdict.naive_placebo is None:
        return why
    days = f"{verdict.window_days} days"
    return (
        f"{why} In the {days} from the start the targeted spent {money(verdict.naive.estimate)} more than the others, "
        f"and in the {days} before it {money(verdict.naive_placebo.estimate)} more. Adjusted for what was known "
        f"before, the difference is {_with_interval(verdict.effect)}: no effect is claimed."
    )
