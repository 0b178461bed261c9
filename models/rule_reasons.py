"""Why a rule survived or did not, in words: the first hurdle at which it fell, with its numbers."""

import pandas as pd


def why_not(rules: pd.DataFrame, antecedent: str, consequent: str, level: float = 0.05) -> str:
    """Say in one sentence at which hurdle a rule fell, or that it survived them all.

    Parameters
    ----------
    rules
        The table ``rules`` of a night: all candidates with their evidence.
    antecedent, consequent
        Names of the two categories.
    level
        False discovery rate of the tests.

    Examples
    --------
    >>> from models.rules import COLUMNS
    >>> why_not(pd.DataFrame(columns=COLUMNS), "bread", "butter")
    'bread -> butter: not a candidate, as too few orders hold both, or too small a share of those with bread.'
    """
    name = f"{antecedent} -> {consequent}"
    found = rules[(rules["antecedents"] == antecedent) & (rules["consequents"] == consequent)]
    if found.empty:
        return f"{name}: not a candidate, as too few orders hold both, or too small a share of those with {antecedent}."
    rule = found.iloc[0]
    lift, adjusted = float(rule["lift"]), float(rule["adjusted_lift"])
    if rule["q_value"] > level:
        return (
            f"{name}: lift {lift:.2f} could be chance. Fisher's test, corrected for all pairs that were looked at, "
            f"gives q = {rule['q_value']:.3g}."
        )
    if rule["adjusted_q_value"] > level:
        return (
            f"{name}: lift {lift:.2f}, but the size of the baskets and the habits of single households explain it: "
            f"given both the lift is {adjusted:.2f} with q = {rule['adjusted_q_value']:.3g}."
        )
    if not rule["is_confirmed"]:
        later, later_adjusted = float(rule["confirmed_lift"]), float(rule["confirmed_adjusted_lift"])
        return (
            f"{name}: significant with lift {lift:.2f}, given basket size {adjusted:.2f}, but the later orders did not "
            f"confirm it: there the lift is {later:.2f}, given basket size {later_adjusted:.2f}."
        )
    if rule["within_month_p_value"] > level:
        return (
            f"{name}: survived, but the season makes it: within single months the lift is "
            f"{float(rule['within_month_lift']):.2f} instead of {lift:.2f}."
        )
    return (
        f"{name}: survived. Lift {lift:.2f}, given basket size {adjusted:.2f}; in later orders again "
        f"{float(rule['confirmed_adjusted_lift']):.2f} given basket size."
    )
