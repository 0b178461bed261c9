"""Oracles of what customers said, of their contracts and of who they are."""

import math
import re
from datetime import timedelta

import pandas as pd
from feature_oracle import Past, _change, _ratio, oracle

DAY = timedelta(days=1)


def _said(past: Past, days: float = math.inf, kinds: str = "survey review complaint claim request") -> list[dict]:
    rows = [row for row in past.statements if row["event_time"] < past.as_of and row["kind"] in kinds.split()]
    return [row for row in rows if _age(past, row) < days]


def _age(past: Past, row: dict) -> int:
    return (past.as_of - row["event_time"]) // DAY


def _is_resolved(past: Past, row: dict) -> bool:
    return pd.notna(row["resolved_at"]) and row["resolved_at"] < past.as_of


def _cases(past: Past) -> list[dict]:
    return _said(past, kinds="complaint claim request")


@oracle
def n_statements_364d(past: Past) -> float | None:
    return len(_said(past, 364))


@oracle
def n_complaints_84d(past: Past) -> float | None:
    return len(_said(past, 84, "complaint claim"))


@oracle
def n_complaints_364d(past: Past) -> float | None:
    return len(_said(past, 364, "complaint claim"))


@oracle
def n_claims_364d(past: Past) -> float | None:
    return len(_said(past, 364, "claim"))


@oracle
def n_open_cases(past: Past) -> float | None:
    return sum(not _is_resolved(past, row) for row in _cases(past))


@oracle
def open_case_days(past: Past) -> float | None:
    return max((_age(past, row) for row in _cases(past) if not _is_resolved(past, row)), default=None)


@oracle
def complaint_recency_days(past: Past) -> float | None:
    return min((_age(past, row) for row in _said(past, kinds="complaint claim")), default=None)


def _taken(past: Past) -> list[float]:
    return [(row["resolved_at"] - row["event_time"]) / DAY for row in _cases(past) if _is_resolved(past, row)]


@oracle
def resolution_days_mean(past: Past) -> float | None:
    return _ratio(math.fsum(_taken(past)), len(_taken(past)))


@oracle
def resolution_days_max(past: Past) -> float | None:
    return max(_taken(past), default=None)


def _rated(past: Past, days: float = math.inf) -> list[dict]:
    return [row for row in _said(past, days) if pd.notna(row["rating"]) and row["rating_max"] > 0]


@oracle
def rating_mean(past: Past) -> float | None:
    ratings = [row["rating"] / row["rating_max"] for row in _rated(past, 364)]
    return _ratio(math.fsum(ratings), len(ratings))


@oracle
def rating_last(past: Past) -> float | None:
    # A reversed sort keeps the order of equals: of two at one instant the lesser name comes first.
    rows = sorted(_rated(past), key=lambda row: row["feedback_id"])
    rows = sorted(rows, key=lambda row: row["event_time"], reverse=True)
    return rows[0]["rating"] / rows[0]["rating_max"] if rows else None


@oracle
def n_low_ratings_364d(past: Past) -> float | None:
    return sum(row["rating"] / row["rating_max"] <= 0.4 for row in _rated(past, 364))


def _begun(past: Past) -> list[dict]:
    rows = [row for row in past.versions if row["started_on"] < past.today]
    return sorted(rows, key=lambda row: (row["started_on"], row["plan"]))


def _is_over(past: Past, row: dict) -> bool:
    return pd.notna(row["ended_on"]) and row["ended_on"] < past.today


def _running(past: Past) -> list[dict]:
    return [row for row in _begun(past) if not _is_over(past, row)]


@oracle
def n_contracts(past: Past) -> float | None:
    return len(_running(past))


@oracle
def contract_fee_cents(past: Past) -> float | None:
    fees = [0 if pd.isna(row["fee_cents"]) else row["fee_cents"] for row in _running(past)]
    return sum(fees) if fees else None


@oracle
def contract_fee_trend(past: Past) -> float | None:
    now = before = 0
    for row in _running(past):
        earlier = [one for one in _begun(past) if one["plan"] == row["plan"] and one["started_on"] < row["started_on"]]
        if earlier and pd.notna(row["fee_cents"]) and pd.notna(earlier[-1]["fee_cents"]):
            now, before = now + row["fee_cents"], before + earlier[-1]["fee_cents"]
    return _change(now, before)


@oracle
def contract_days(past: Past) -> float | None:
    return max((past.age(row["started_on"]) for row in _running(past)), default=None)


@oracle
def contract_anniversary_days(past: Past) -> float | None:
    return min((365 - past.age(row["started_on"]) % 365 for row in _running(past)), default=None)


@oracle
def contract_to_end_days(past: Past) -> float | None:
    told = [
        row
        for row in _running(past)
        if pd.notna(row["ended_on"]) and pd.notna(row["known_at"]) and row["known_at"] > pd.Timestamp(row["started_on"])
    ]
    return min(((row["ended_on"] - past.today).days for row in told), default=None)


@oracle
def contract_ended_days(past: Past) -> float | None:
    return min((past.age(row["ended_on"]) for row in _begun(past) if _is_over(past, row)), default=None)


@oracle
def n_contract_changes_364d(past: Past) -> float | None:
    return sum(past.age(row["started_on"]) <= 364 for row in _begun(past)[1:])


def _since(past: Past, column: str) -> int | None:
    days = [row[column] for row in past.profile if pd.notna(row[column]) and row[column] < past.today]
    return past.age(days[0]) if days else None


@oracle
def first_seen_days(past: Past) -> float | None:
    return _since(past, "first_seen_on")


@oracle
def loyalty_days(past: Past) -> float | None:
    return _since(past, "loyalty_joined_on")


@oracle
def is_loyalty_member(past: Past) -> float | None:
    return _since(past, "loyalty_joined_on") is not None


@oracle
def age_years(past: Past) -> float | None:
    for row in past.profile:
        if pd.notna(row["birth_year"]) and 0 <= past.today.year - row["birth_year"] < 110:
            return past.today.year - int(row["birth_year"])
    numbers = [re.findall(r"[0-9]+", row["age_band"]) for row in past.profile if pd.notna(row["age_band"])]
    if not numbers or not numbers[0]:
        return None
    is_below = past.profile[0]["age_band"].startswith(("under", "<"))
    return int(numbers[0][0]) - is_below
