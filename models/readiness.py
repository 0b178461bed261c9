"""What the data can answer: facts in, one answer per question out, each with its reason and what is missing.

An answer is the worst of its doubts: ``no`` where one of them stops a night or leaves nothing to learn from, ``with
care`` where results would come but need a caveat, ``yes`` where there is no doubt. The bounds below say where each
number comes from.
"""

from dataclasses import dataclass
from typing import Literal

from models.evaluation import Estimate
from models.readiness_facts import BasketFacts, ChurnFacts, Facts, LabelFacts, LineFacts, TrialFacts

Word = Literal["yes", "with care", "no"]
WORDS: tuple[Word, ...] = ("yes", "with care", "no")

ENOUGH_EVENTS = 100
"""Who left and who stayed, each: fewer make a validation of risks unreliable (Vergouwe and others 2005)."""
LEAST_EVENTS = 20
"""Below, the interval of a share is wider than the share itself is high or low: nothing can be judged."""
LEAST_DATES = 2
"""Training dates that a night needs beside the one that judges."""
MANY_ANONYMOUS = 0.20
"""Share of lines without a customer from which scores speak for a part of the business only: one in five."""
FEW_REPEAT = 0.20
"""Share of customers who bought twice below which silence after a purchase is the rule and tells little."""
MANY_GAPS = 0.05
"""Share of days without lines from which a silence may be the system's and not the customer's; 1 in 20, as in tests."""
HEAVY_TENTH = 0.60
"""Share of the money from a tenth of customers above which means hang on a few (Pareto's 80:20 curve gives .63)."""
MANY_RETURNS = 0.20
"""Returned money from which net value and sales tell different stories: one in five."""
LEAK_AUC = 0.95
"""A single column that ranks so well mostly knows the answer (Kaufman and others 2012)."""
SUSPECT_AUC = 0.80
"""From here a column must be shown to be known before; Bank Marketing's ``duration``, the textbook leak, has .82."""
CONFIRMED_ORDERS = 5
"""Orders with a pair that later history must be expected to hold, or it cannot confirm a rule (Cochran 1954)."""
CONFIRM_SHARE = 0.25
"""Share of the orders that confirms."""
ENOUGH_PAIRS = 10
"""Frequent pairs from which rules say more than a list of bestsellers."""
LEAST_ITEMS = 20
"""Categories below which ten offers are half of all there is to offer."""
ENOUGH_TAKERS = 1000
"""Customers from which a share of 10 % who take up an offer is known to within 2 points."""
LEAST_TAKERS = 100
"""Customers below which that share is not known to within 6 points."""
LEAST_ARM = 30
"""Customers of an arm below which a mean has no normal interval."""
ENOUGH_ARM = 1000
"""Customers of an arm from which effects can be asked for by customer and not only on average: a tenth is still 100."""
BROKEN_RATIO = 0.001
"""Arms as uneven as this in sound trials once in a thousand (Fabijan and others 2019)."""
IMBALANCE = 0.10
"""Standardised difference above which arms are not alike (Austin 2009)."""
FAR_APART = 0.80
"""Propensity AUC from which treated and untreated hardly share ground; the verdict of a campaign uses the same."""
CHANCE_AUC = 0.55
"""Propensity AUC of a randomised trial above which chance did not decide alone."""


@dataclass(frozen=True)
class Answer:
    """What the data can say to one question.

    Parameters
    ----------
    question
        churn, value, rules, offers or uplift.
    word
        yes, with care, or no.
    why
        One sentence with the numbers.
    missing
        What to do about it, most important first; empty for yes.
    """

    question: str
    word: Word
    why: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Doubt:
    word: Word
    reason: str
    action: str


def answers(facts: Facts) -> tuple[Answer, ...]:
    """Return one answer per question, in the order churn, value, rules, offers, uplift."""
    return tuple(question(facts) for question in (_churn, _value, _rules, _offers, _uplift))


def said(share: Estimate | None) -> str:
    """Write a share with its interval.

    Examples
    --------
    >>> said(Estimate(0.1, 0.0435, 0.2136, 50))
    '10.0% (4.3% to 21.4%)'
    >>> said(None)
    'unknown'
    """
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})" if share else "unknown"


def _answer(question: str, found: str, doubts: list[_Doubt], subject: str = "") -> Answer:
    """Put the worst doubts before what was found."""
    word: Word = max((doubt.word for doubt in doubts), key=WORDS.index) if doubts else "yes"
    worst = [doubt.reason for doubt in doubts if doubt.word == word]
    why = "; ".join([*worst, *([found] if found else [])])
    ordered = sorted(doubts, key=lambda doubt: -WORDS.index(doubt.word))
    actions = tuple(dict.fromkeys(doubt.action for doubt in ordered))
    return Answer(question, word, f"{subject}: {why}." if subject else f"{why[:1].upper()}{why[1:]}.", actions)


def _no(question: str, reason: str, action: str) -> Answer:
    return _answer(question, "", [_Doubt("no", reason, action)])


def _churn(facts: Facts) -> Answer:
    if facts.lines is None or facts.churn is None:
        if facts.label is not None:
            return _answer("churn", _labelled(facts.label), _doubts_of_label(facts.label))
        n_contracts = sum(table.n_accepted for table in facts.tables if table.name == "subscriptions")
        beside = f"; {n_contracts:,} subscriptions alone are not learnt from yet" if n_contracts else ""
        return _no(
            "churn",
            f"there are neither purchases over time nor a label of who left{beside}",
            "Map order lines under [sources.transactions], or deliver one row per customer with a column that says "
            "who left, and name it as label in [sources.customers].",
        )
    churn, judged = facts.churn, facts.churn.by_date[-1] if facts.churn.by_date else None
    found = (
        f"{said(judged.churned)} of {judged.n_eligible:,} eligible customers bought nothing within "
        f"{judged.horizon_days} days, with {churn.n_training_dates} dates to learn from"
        if judged
        else ""
    )
    doubts = [*_doubts_of_history(churn, facts.lines), *_doubts_of_events(churn)]
    return _answer("churn", found, [*doubts, *_doubts_of_customers(facts.lines), *_doubts_of_gaps(facts.lines)])


def _labelled(label: LabelFacts) -> str:
    rows = label.share.n_rows if label.share else 0
    return f"the label “{label.column}” says that {said(label.share)} of {rows:,} customers left"


def _doubts_of_label(label: LabelFacts) -> list[_Doubt]:
    n_rows = label.share.n_rows if label.share else 0
    n_events = round(label.share.value * n_rows) if label.share else 0
    doubts = _few(min(n_events, n_rows - n_events), "labels of the rarer kind", "Load more labelled customers.")
    for column in sorted(label.columns, key=lambda one: -one.auc):
        if column.auc >= SUSPECT_AUC:
            verb = "gives the label away" if column.auc >= LEAK_AUC else "alone ranks the label suspiciously well"
            doubts.append(
                _Doubt(
                    "with care",
                    f"the column “{column.name}” {verb} (AUC {column.auc:.2f})",
                    f"Keep “{column.name}” only if it is known before the moment of prediction; else leave it out.",
                )
            )
    if label.n_unlabelled > n_rows * MANY_ANONYMOUS:
        doubts.append(_Doubt("with care", f"{label.n_unlabelled:,} customers have no label", "Say why they have none."))
    return doubts


def _few(n: int, what: str, action: str) -> list[_Doubt]:
    if n >= ENOUGH_EVENTS:
        return []
    word: Word = "no" if n < LEAST_EVENTS else "with care"
    return [_Doubt(word, f"only {n:,} {what} ({ENOUGH_EVENTS} make a sound test)", action)]


_MORE = "Load older orders, or wait."


def _doubts_of_history(churn: ChurnFacts, lines: LineFacts) -> list[_Doubt]:
    """Say whether a night finds dates to learn from and one to judge on."""
    if churn.horizon_days is None:
        return [_Doubt("no", churn.problem or "there is no horizon", _MORE)]
    if churn.n_training_dates < LEAST_DATES:
        # Dates count back from a Monday, which may be six days ago.
        needed = churn.eligible_days + (LEAST_DATES + 1) * churn.horizon_days + 6
        reason = f"{lines.n_days:,} days of history, where a horizon of {churn.horizon_days} days needs {needed:,}"
        return [_Doubt("no", reason, f"{_MORE} Or set a shorter churn.horizon_days.")]
    if churn.is_capped and not churn.is_set:
        reason = f"the gaps ask for a longer horizon than the {churn.horizon_days} days that the history holds six of"
        return [_Doubt("with care", reason, _MORE)]
    return []


def _doubts_of_events(churn: ChurnFacts) -> list[_Doubt]:
    """Say whether enough customers left, and enough stayed, at the date that judges."""
    if not churn.by_date:
        return []
    judged = churn.by_date[-1]
    left = _few(judged.n_churned, "customers left at the date that judges", _MORE)
    return left + _few(judged.n_eligible - judged.n_churned, "customers stayed at the date that judges", _MORE)


def _doubts_of_customers(lines: LineFacts) -> list[_Doubt]:
    doubts = []
    if lines.anonymous and lines.anonymous.value > MANY_ANONYMOUS:
        reason = f"{said(lines.anonymous)} of lines have no customer"
        doubts.append(_Doubt("with care", reason, "Have more sales carry a customer: loyalty card, login, receipt."))
    if lines.repeat and lines.repeat.value < FEW_REPEAT:
        n_repeat = round(lines.repeat.value * lines.repeat.n_rows)
        word: Word = "no" if n_repeat < LEAST_EVENTS else "with care"
        reason = f"only {n_repeat:,} customers, {said(lines.repeat)}, bought on two days or more"
        doubts.append(_Doubt(word, reason, "Check that one person has one customer id; else load older orders."))
    return doubts


def _doubts_of_gaps(lines: LineFacts) -> list[_Doubt]:
    if lines.n_gap_days <= MANY_GAPS * lines.n_days:
        return []
    reason = f"{lines.n_gap_days} days that usually have sales have none"
    return [_Doubt("with care", reason, "Deliver the missing days, or confirm that nothing was sold.")]


def _value(facts: Facts) -> Answer:
    lines, churn = facts.lines, facts.churn
    if lines is None or churn is None:
        return _no("value", "there are no purchases over time", "Map order lines under [sources.transactions].")
    if lines.sales_cents < 0:
        reason = "the amounts add up to less than nothing"
        action = "If what is spent has a minus, as in bank statements, set negated = true in money.amount_cents."
        return _no("value", reason, action)
    if not lines.sales_cents:
        return _no("value", "the lines carry no money", "Map money.amount_cents under [sources.transactions].")
    doubts = [*_doubts_of_history(churn, lines), *_doubts_of_customers(lines), *_doubts_of_gaps(lines)]
    if lines.top_tenth_share is not None and lines.top_tenth_share > HEAVY_TENTH:
        reason = f"a tenth of the customers spends {lines.top_tenth_share:.0%} of the money"
        doubts.append(_Doubt("with care", reason, "Look at the largest customers one by one; are they dealers?"))
    if lines.returns_share is not None and lines.returns_share > MANY_RETURNS:
        reason = f"{lines.returns_share:.0%} of the money comes back as returns"
        doubts.append(_Doubt("with care", reason, "Check the signs of returns, and corrections booked as sales."))
    found = f"{lines.n_days:,} days of purchases of {lines.n_customers:,} customers, repeat share {said(lines.repeat)}"
    return _answer("value", found, doubts)


def _rules(facts: Facts) -> Answer:
    baskets = facts.baskets
    if baskets is None or not baskets.n_baskets:
        return _no("rules", "there are no baskets", "Map order lines under [sources.transactions].")
    doubts = _doubts_of_items(baskets)
    n_needed = round(CONFIRMED_ORDERS / (baskets.min_support * CONFIRM_SHARE))
    if not baskets.n_frequent_pairs:
        reason = f"no two items are in {baskets.min_support:.1%} of baskets together"
        doubts.append(_Doubt("no", reason, "Group products into fewer, broader categories, or lower min_support."))
    elif baskets.n_frequent_pairs < ENOUGH_PAIRS:
        reason = f"only {baskets.n_frequent_pairs} pairs are in {baskets.min_support:.1%} of baskets"
        doubts.append(_Doubt("with care", reason, "Lower baskets.min_support, or use broader categories."))
    if baskets.n_baskets < n_needed:
        reason = f"{baskets.n_baskets:,} baskets, where a quarter can confirm rules from {n_needed:,} on"
        doubts.append(_Doubt("with care", reason, "Load older orders, or raise baskets.min_support."))
    found = (
        f"{baskets.n_baskets:,} baskets with {baskets.items_per_basket:.1f} items on average, {said(baskets.several)} "
        f"of them with several, and {baskets.n_frequent_pairs:,} frequent pairs"
    )
    return _answer("rules", found, doubts)


def _doubts_of_items(baskets: BasketFacts) -> list[_Doubt]:
    if baskets.kind != "category":
        reason = "no product has a category, so each stands for itself"
        return [_Doubt("with care", reason, "Map a category for products: alike ones then speak together.")]
    known = baskets.with_category
    if known and 1 - known.value > MANY_ANONYMOUS:
        reason = f"only {said(known)} of sold lines have a category"
        return [_Doubt("with care", reason, "Complete the categories of the catalogue.")]
    return []


def _items(baskets: BasketFacts) -> str:
    one, many = {"category": ("category", "categories")}.get(baskets.kind, ("product", "products"))
    return f"{baskets.n_items:,} {one if baskets.n_items == 1 else many}"


def _offers(facts: Facts) -> Answer:
    baskets, churn = facts.baskets, facts.churn
    if baskets is None or churn is None or not baskets.n_customers:
        return _no("offers", "no customer has a basket", "Map order lines with customer_id.")
    doubts = _doubts_of_items(baskets)
    if baskets.n_items < LEAST_ITEMS:
        reason = f"there are {_items(baskets)}, where ten are offered"
        doubts.append(_Doubt("no", reason, "Map finer categories."))
    if churn.n_training_dates < LEAST_DATES and facts.lines:
        doubts.append(_Doubt("no", f"{facts.lines.n_days:,} days are too short to try offers on", "Load older orders."))
    if baskets.n_customers < ENOUGH_TAKERS:
        word: Word = "no" if baskets.n_customers < LEAST_TAKERS else "with care"
        doubts.append(_Doubt(word, f"only {baskets.n_customers:,} customers", "Load more customers."))
    if facts.lines:
        doubts += _doubts_of_customers(facts.lines)
    found = f"{baskets.n_customers:,} customers bought from {_items(baskets)}"
    return _answer("offers", found, doubts)


def _uplift(facts: Facts) -> Answer:
    """Answer by the best of the trials: one sound trial is enough."""
    if not facts.trials:
        action = "Keep a control group drawn by lot in the next campaign, and deliver who was in which arm."
        return _no("uplift", "there is no campaign with a record of who was contacted", action)
    judged = [_answer("uplift", _trial(trial), _doubts_of_trial(trial), trial.name) for trial in facts.trials]
    sizes = [min(trial.n_treated, trial.n_control) for trial in facts.trials]
    best = min(range(len(judged)), key=lambda place: (WORDS.index(judged[place].word), -sizes[place]))
    return judged[best]


def _trial(trial: TrialFacts) -> str:
    found = f"{trial.n_treated:,} treated and {trial.n_control:,} untreated customers"
    seen = [f"{_size(one.smallest, one.kind)} in {one.outcome}" for one in trial.detectable]
    return f"{found}, enough to show a difference of {' or '.join(seen)}" if seen else found


def _size(value: float, kind: str) -> str:
    if kind == "cents":
        return f"{value / 100:,.2f} a customer"
    return f"{100 * value:.2f} points" if kind == "share" else f"{value:,.3g}"


def _doubts_of_trial(trial: TrialFacts) -> list[_Doubt]:
    doubts = []
    smaller = min(trial.n_treated, trial.n_control)
    if smaller < ENOUGH_ARM:
        word: Word = "no" if smaller < LEAST_ARM else "with care"
        action = "Draw a larger control group." if trial.n_control < trial.n_treated else "Contact more customers."
        doubts.append(_Doubt(word, f"only {smaller:,} customers on its smaller side", action))
    if trial.has_ended is False:
        doubts.append(_Doubt("no", "it has not ended", "Wait for its outcome."))
    return doubts + (_doubts_of_lot(trial) if trial.is_randomised else _doubts_of_choice(trial))


def _doubts_of_lot(trial: TrialFacts) -> list[_Doubt]:
    """Say what speaks against the declared randomisation."""
    doubts = []
    action = "Find out how the arms were drawn, and whether customers were lost or added afterwards."
    if not trial.has_control:
        doubts.append(_Doubt("no", "it has no control arm", "Deliver who was left alone by lot."))
    if trial.ratio_p_value is not None and trial.ratio_p_value < BROKEN_RATIO:
        reason = f"its arms are not as large as declared (p = {trial.ratio_p_value:.1g})"
        doubts.append(_Doubt("with care", reason, action))
    is_apart = trial.propensity_auc is not None and trial.propensity_auc > CHANCE_AUC
    if is_apart or (trial.largest_difference or 0) > IMBALANCE:
        reason = f"its arms differed before it began ({_apart(trial)})"
        doubts.append(_Doubt("with care", reason, action))
    return doubts


def _doubts_of_choice(trial: TrialFacts) -> list[_Doubt]:
    """Say how far an adjusted comparison goes where chance did not decide."""
    action = "Draw the next campaign's control group by lot: only then does a difference say what changed."
    is_far = trial.propensity_auc is not None and trial.propensity_auc > FAR_APART
    stated = "not randomised" if trial.is_randomised is False else "nothing says that it was randomised"
    reason = f"{stated}, and its two sides differed before ({_apart(trial)})"
    return [_Doubt("no" if is_far or trial.propensity_auc is None else "with care", reason, action)]


def _apart(trial: TrialFacts) -> str:
    if trial.propensity_auc is None:
        return "nothing known to compare them on"
    return (
        f"largest standardised difference {trial.largest_difference or 0:.2f}, "
        f"told apart with an AUC of {trial.propensity_auc:.2f}"
    )
