"""What sells together, and how well offers predicted."""

from collections.abc import Sequence

import pandas as pd

from pipelines.report import charts, facts
from pipelines.report.blocks import Cell, Figure, Figures, Head, Section, Table, real, rows_of
from pipelines.report.night import Night
from pipelines.report.svg import Title
from pipelines.report.words import METHODS, METRICS, SMALL_COUNT, axis, between, count, label, number, share

_TOP_RULES = 15
SEASONAL_LEVEL = 0.05
_TOP_BARS = 7


def together(night: Night) -> Section:
    """Return section 3: the rules that survived, and how well offers predicted."""
    lede = [
        f"{facts.rules_survived(night)}. The rest could be chance, and is not shown as a finding.",
        "Rules explain what goes together; offers are judged apart, by whether customers then bought.",
    ]
    survived = night.rules[night.rules["is_confirmed"].fillna(value=False).astype(bool)]
    order = ["adjusted_lift", "antecedents", "consequents"]
    rules = survived.sort_values(order, ascending=[False, True, True], kind="stable")
    figures = (_top_rules(rules), _offer_quality(night))
    blocks = (Figures(figures), _rule_table(rules), _offer_table(night), _quality_table(night))
    return Section("together", "What sells together", lede, blocks, night.source("rules", "offers", "offer_quality"))


def _rule_name(row: dict[str, object]) -> str:
    return f"{row['antecedents']} → {row['consequents']}"


def _top_rules(rules: pd.DataFrame) -> Figure:
    top = rows_of(rules.head(_TOP_BARS))
    title = (
        f"Orders with {top[0]['antecedents']} hold {top[0]['consequents']} {number(top[0]['adjusted_lift'], 1)} times "
        "as often as their size explains."
        if top
        else "No rule survived, so nothing can be said to sell together."
    )
    names, lifts = [_rule_name(row) for row in top], [real(row["adjusted_lift"]) for row in top]
    svg = charts.bar(
        Title("lift", title, "Lift, given basket size, of the strongest surviving rules."),
        names,
        lifts,
        [f"{number(x, 1)} ×" for x in lifts],
    )
    return Figure(title, "Lift, given basket size, of rules that held again in later orders; 1 × is chance.", svg)


def _rule_table(rules: pd.DataFrame) -> Table:
    rows = [
        (
            Cell(f"{row['antecedents']} →", (str(row["consequents"]),)),
            *(
                Cell(number(row.get(name)), sort=str(real(row.get(name))))
                for name in ("adjusted_lift", "confirmed_adjusted_lift", "lift")
            ),
            Cell(share(row["confidence"]), sort=str(real(row["confidence"]))),
            Cell(count(row["n_orders"])),
            Cell(_q_value(row["q_value"])),
        )
        for row in rows_of(rules.head(_TOP_RULES))
    ]
    names = ("Lift given size", "The same later", "Plain lift", "Confidence", "Orders", "q-value")
    heads = (Head("Rule"), *(Head(name, is_number=True) for name in names))
    shown = f"The strongest {_TOP_RULES} of {count(len(rules))}. " if len(rules) > _TOP_RULES else ""
    # Nights from before this was measured have no such column.
    if "within_month_p_value" in rules and (n := int((rules["within_month_p_value"] > SEASONAL_LEVEL).sum())):
        shown += f"The season makes {count(n)} of them: within single months their lift is not told from chance. "
    note = f"{shown}All rules, also those that did not hold again, are in actions.xlsx."
    return Table("rules", "The strongest rules that held again in later orders", heads, rows, note=note)


def _q_value(value: object) -> str:
    return "< 0.0001" if real(value) < 0.0001 else number(value, 4)


def _offer_quality(night: Night) -> Figure:
    frame = night.offer_quality
    first = str(frame["metric"].iloc[0]) if len(frame) else ""
    rows = sorted(rows_of(frame[frame["metric"] == first]), key=lambda row: (-real(row["value"]), str(row["method"])))
    marks = [charts.Row(label(METHODS, row["method"]), (charts.Mark(*_ends(row), _written(row)),)) for row in rows]
    title, (name, meaning) = _offer_claim(night, rows), METRICS.get(first, (label({}, first), "more is better"))
    svg = charts.forest(Title("offer-quality", title, f"{name} by method with interval."), marks, axis)
    return Figure(title, f"{name}: {meaning[:1].lower()}{meaning[1:]}, with its interval.", svg)


def _offer_claim(night: Night, rows: Sequence[dict[str, object]]) -> str:
    """Say which method is best; a paired difference decides where there is one, else the intervals."""
    if len(rows) < 2:
        return "How well offers predict was not compared tonight."
    best, second = rows[0], rows[1]
    method = night.offer_quality["method"]
    paired = rows_of(night.offer_quality[method == f"{best['method']} minus {second['method']}"])
    is_clear = real(paired[0]["low"]) > 0 if paired else real(best["low"]) > real(second["high"])
    names = [label(METHODS, row["method"]) for row in (best, second)]
    if is_clear:
        return f"“{names[0]}” found more of the later purchases than “{names[1]}”."
    return f"“{names[0]}” and “{names[1]}” are not clearly different."


def _quality_table(night: Night) -> Table:
    rows = []
    for row in rows_of(night.offer_quality):
        name, meaning = METRICS.get(str(row["metric"]), (label({}, row["metric"]), ""))
        low, high = (number(row[end], 3) for end in ("low", "high"))
        method = " minus ".join(label(METHODS, part).lower() for part in str(row["method"]).split(" minus "))
        cell = Cell(number(row["value"], 3), (between(low, high),), sort=str(row["value"]))
        rows.append((Cell(name, (meaning,)), Cell(method[:1].upper() + method[1:]), cell))
    heads = (Head("Measure"), Head("Method"), Head("Value", is_number=True))
    return Table("offer-measures", "How well offers predicted later purchases", heads, rows)


def _offer_table(night: Night) -> Table:
    first = night.offers[night.offers["rank"] == 1]["category"].value_counts()
    ordered = sorted(first.items(), key=lambda item: (-item[1], str(item[0])))
    shown = [(str(name), int(n)) for name, n in ordered if n > SMALL_COUNT][:10]
    rows = [(Cell(name), Cell(count(n))) for name, n in shown]
    note = f"Categories offered first to {SMALL_COUNT} customers or fewer are left out."
    heads = (Head("Category"), Head("Customers", is_number=True))
    return Table("offered", "The categories offered first most often", heads, rows, note=note)


def _written(row: dict[str, object]) -> str:
    interval = between(number(row["low"], 3), number(row["high"], 3))
    return f"{number(row['value'], 3)}  ({interval})" if interval else number(row["value"], 3)


def _ends(row: dict[str, object]) -> tuple[float, float, float]:
    return real(row["value"]), real(row["low"]), real(row["high"])
