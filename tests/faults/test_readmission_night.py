"""Catalogue row D8: what was quarantined by one night is repaired, handed in twice, and admitted by the next, once."""

import json
from collections import Counter

import pytest

from data.readmission import open_rows

pytestmark = pytest.mark.slow

ORDERS = ("bad amount", "bad customer", "bad instant", "bad quantity")


def as_delivered(company):
    """Return the lines of the files of a company as orders."""
    found = Counter()
    for path in (company.folder / "daily").iterdir():
        found.update(line.split(",")[0] for line in path.read_text().splitlines()[1:])
    return found


def test_the_first_night_quarantines_what_is_bad_and_says_why(story):
    rows = {row["order_id"]: row["reasons"] for row in cells(story.at("one"))}
    assert {order: rows[order] for order in ORDERS} == {
        "bad amount": "amount_cents is not an integer",
        "bad customer": "orphan customer",
        "bad instant": "event_time is not an instant",
        "bad quantity": "quantity is not a decimal",
    }


def cells(company):
    found = [row for row in open_rows(company.lake) if row.table_name == "transactions"]
    return [{**row.cells, "reasons": row.reasons} for row in found]


@pytest.mark.parametrize("kind", ["csv", "workbook"])
def test_each_file_is_taken_once_however_often_it_is_handed_in(story, kind):
    first, again = (story.answers[f"{kind} {time}"] for time in ("first", "again"))
    assert (first.code, again.code, first.errors, again.errors) == (0, 0, "", "")
    verdicts = json.loads(first.output)
    assert [one["reasons"] for one in verdicts] == [""] * len(verdicts)
    assert sum(not one["is_known"] for one in verdicts) == 2
    assert all(one["is_known"] for one in json.loads(again.output))


def test_the_next_night_admits_each_of_them_once_with_what_was_repaired(story):
    assert story.answers["night two"].code == 0, story.answers["night two"].errors
    lines = [row for row in story.at("two").table("transactions") if row["order_id"] in ORDERS]
    found = {row["order_id"]: row for row in lines}
    assert sorted(row["order_id"] for row in lines) == list(ORDERS)
    assert found["bad amount"]["amount_cents"] == 300
    assert found["bad quantity"]["quantity"] == 2
    assert found["bad customer"]["customer_id"] == "c000000001"
    assert found["bad instant"]["event_time"].isoformat() == "2024-12-05T10:00:00"


def test_no_earlier_night_is_told_what_was_repaired_later(story, drops):
    """The repaired rows are known from the night that admitted them."""
    first = drops.midnight(drops.FIRST_NIGHT)
    lines = [row for row in story.at("two").table("transactions") if row["order_id"] in ORDERS]
    assert all(row["known_at"] >= first for row in lines)


def test_their_reasons_are_cleared_and_the_others_stay(story):
    before, after = cells(story.at("one")), cells(story.at("two"))
    assert {row["order_id"] for row in before} - {row["order_id"] for row in after} == set(ORDERS)
    assert len(after) == len(before) - len(ORDERS)


def test_rows_and_cents_reconcile_over_both_nights(story, drops):
    company = story.at("two")
    nights = [company.reconciled(drops.midnight(drops.after(drops.FIRST_NIGHT, n))) for n in range(2)]
    for night in nights:
        assert (
            night["n_in"] == night["n_accepted"] + night["n_quarantined"] + night["n_duplicates"] + night["n_refused"]
        )
        assert night["in_cents"] == sum(night[f"{side}_cents"] for side in ("accepted", "quarantined", "duplicate"))
    lines = company.table("transactions")
    n_delivered = sum(as_delivered(company).values())
    assert sum(night["n_in"] for night in nights) == n_delivered + len(ORDERS)
    assert sum(night["n_accepted"] for night in nights) == len(lines) == n_delivered - len(cells(company))
    assert sum(night["accepted_cents"] for night in nights) == sum(row["amount_cents"] for row in lines)


def test_a_third_night_admits_none_of_them_again(story, drops):
    assert story.answers["night three"].code == 0, story.answers["night three"].errors
    lines = Counter(row["order_id"] for row in story.company.table("transactions") if row["order_id"] in ORDERS)
    assert lines == dict.fromkeys(ORDERS, 1)
    night = story.company.reconciled(drops.midnight(drops.after(drops.FIRST_NIGHT, 2)))
    assert (night["n_quarantined"], night["n_duplicates"]) == (0, 0)
    assert [row["order_id"] for row in cells(story.company)] == [row["order_id"] for row in cells(story.at("two"))]
