"""Pairs against known truth: how many are right, how many are found, and whether the probabilities keep their word."""

import numpy as np
import pytest
from scipy import stats

from data.identity.candidates import SUGGESTED
from data.identity.comparisons import COMPARISONS, CROWD
from data.identity.training import MIN_CUSTOMERS

FIELDS = [comparison.field for comparison in COMPARISONS]
ANNA = {
    "name": "Anna Meyerhoff",
    "email": "anna.meyerhoff@example.org",
    "phone": "0151 23456789",
    "street": "Hauptstraße 5",
    "postal_code": "10115",
    "city": "Berlin",
    "country": "DE",
}


def truth(company, pairs):
    ids = zip(pairs["customer_id_a"].to_pylist(), pairs["customer_id_b"].to_pylist(), strict=True)
    return np.array([company.is_one(a, b) for a, b in ids])


def interval(hits, n):
    return stats.binomtest(int(hits), int(n)).proportion_ci(0.95, method="wilson")


def strangers(n):
    """Return so many customers who share nothing."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        {
            "customer_id": f"S{i:03d}",
            "name": f"{letters[i % 26] * 4}{letters[i // 26] * 3} {letters[i // 26] * 5}{letters[i % 26] * 2}",
            "email": f"{letters[i % 26] * 3}{i * 7919}@example.org",
            "phone": f"0152 {20000000 + i * 1234567 % 59999999}",
            "street": f"{letters[i % 26] * 6}weg {i}",
            "postal_code": str(20000 + i * 111),
            "city": "Hamburg",
            "country": "DE",
        }
        for i in range(n)
    ]


def only_pair(found, min_n=1):
    assert found.pairs.num_rows == min_n
    return found.pairs.to_pylist()[0]


@pytest.mark.slow
def test_what_is_suggested_is_right_and_most_duplicates_are_found(company, found, record_property):
    assert found.is_estimated
    right = truth(company, found.pairs)
    suggested = found.pairs["match_probability"].to_numpy() >= SUGGESTED
    hits, n, n_true = int(right[suggested].sum()), int(suggested.sum()), company.n_duplicate_pairs()
    precision, recall = interval(hits, n), interval(hits, n_true)
    record_property("precision", f"{hits / n:.3f} ({precision.low:.3f} to {precision.high:.3f}), n = {n}")
    record_property("recall", f"{hits / n_true:.3f} ({recall.low:.3f} to {recall.high:.3f}), n = {n_true}")
    assert hits / n >= 0.97
    assert recall.low >= 0.68


@pytest.mark.slow
def test_probabilities_keep_their_word(company, found):
    probability, right = found.pairs["match_probability"].to_numpy(), truth(company, found.pairs)
    for low, high in ((0.001, 0.05), (0.5, 0.95), (0.95, 0.99), (0.99, 1.01)):
        band = (probability >= low) & (probability < high)
        bounds = interval(right[band].sum(), band.sum())
        # A tenth either way is what independence between fields may cost.
        assert bounds.low - 0.1 <= probability[band].mean() <= bounds.high + 0.1, (low, high, bounds)


@pytest.mark.slow
def test_families_are_not_suggested(company, found):
    right = truth(company, found.pairs)
    partly = np.isin(np.array(found.pairs["name_level"].to_pylist()), ["partly", "differs"])
    suggested = found.pairs["match_probability"].to_numpy() >= SUGGESTED
    assert (partly & ~right).sum() > 50, "the company has families whose contacts are the same"
    assert (partly & ~right & suggested).sum() == 0


@pytest.mark.slow
def test_evidence_adds_up(found):
    for pair in found.pairs.to_pylist():
        bits = sum(pair[f"{field}_bits"] for field in FIELDS) + pair["prior_bits"] + pair["household_bits"]
        assert pair["match_weight"] == pytest.approx(bits, abs=1e-4)
        assert pair["match_probability"] == pytest.approx(1 / (1 + 2 ** -pair["match_weight"]), abs=1e-6)
        for field in FIELDS:
            assert (pair[f"{field}_level"] != "missing") or pair[f"{field}_bits"] == 0


@pytest.mark.slow
def test_pairs_are_ordered_and_named_once(found):
    pairs = found.pairs.to_pylist()
    assert all(pair["customer_id_a"] < pair["customer_id_b"] for pair in pairs)
    assert len({(pair["customer_id_a"], pair["customer_id_b"]) for pair in pairs}) == len(pairs) <= found.n_scored
    weights = [pair["match_weight"] for pair in pairs]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.slow
def test_no_personal_value_leaves(company, found):
    told = str(found.pairs.drop_columns(["customer_id_a", "customer_id_b"]).to_pylist()).casefold()
    rows = company.identities.to_pylist()[:400]
    values = {str(row[field]).casefold() for row in rows for field in ("name", "email", "phone", "street", "city")}
    assert not [value for value in values - {"none"} if value in told]


@pytest.mark.slow
def test_the_same_bytes_whatever_the_order_of_rows_and_the_threads(people, find):
    company = people.company(1200, seed=8)
    first = find(company.identities, min_probability=0.01)
    backwards = company.identities.take(np.arange(company.identities.num_rows)[::-1])
    second = find(backwards, threads=2, min_probability=0.01)
    assert first.is_estimated
    assert first.pairs.num_rows > 100
    assert first.pairs.equals(second.pairs)


@pytest.mark.slow
@pytest.mark.parametrize("lacking", [("email",), ("phone", "street", "postal_code", "city"), ("email", "phone")])
def test_a_company_that_never_asked_for_a_field_gets_its_pairs(people, find, lacking):
    company = people.company(700, duplicate_share=0.3, seed=5)
    found = find(company.identities.drop_columns(list(lacking)))
    right = truth(company, found.pairs)
    assert len(right) >= 15
    assert right.mean() >= 0.9


@pytest.mark.slow
def test_without_names_a_household_is_not_told_from_a_person(people, find):
    company = people.company(700, duplicate_share=0.3, seed=5)
    found = find(company.identities.drop_columns(["name"]), min_probability=0.05)
    right = truth(company, found.pairs)
    assert len(right) >= 50
    assert found.pairs["match_probability"].to_numpy().max() < SUGGESTED


def test_too_few_customers_get_fixed_weights_and_it_is_said(find):
    rows = [*strangers(60), {"customer_id": "A"} | ANNA, {"customer_id": "B"} | ANNA | {"name": "MEYERHOFF, Anna"}]
    found = find(rows)
    pair = only_pair(found)
    assert len(rows) < MIN_CUSTOMERS
    assert not found.is_estimated
    assert not pair["is_estimated"]
    assert (pair["customer_id_a"], pair["customer_id_b"]) == ("A", "B")
    assert [pair[f"{field}_level"] for field in FIELDS] == ["same"] * 4


def test_a_company_without_duplicates_has_nothing_to_learn_from(find):
    found = find(strangers(400), min_probability=0.5)
    assert not found.is_estimated
    assert found.pairs.num_rows == 0


@pytest.mark.parametrize(
    ("changes", "field", "level"),
    [
        ({"name": "Anna Meyerhof"}, "name", "close"),
        ({"name": "A. Meyerhoff"}, "name", "close"),
        ({"name": "Anna Maria Meyerhoff"}, "name", "close"),
        ({"name": None}, "name", "missing"),
        ({"email": "anna.meyerhoff@exampel.org"}, "email", "close"),
        ({"email": "other@example.net"}, "email", "differs"),
        ({"phone": "+49 151/23456789"}, "phone", "same"),
        ({"phone": "0151 23456798"}, "phone", "close"),
        ({"phone": None}, "phone", "missing"),
        ({"street": "HAUPTSTR. 5"}, "address", "same"),
        ({"street": "Haupstraße 5"}, "address", "close"),
        ({"street": "Hauptstraße 7"}, "address", "partly"),
        ({"street": "Waldweg 3", "postal_code": "80331"}, "address", "differs"),
    ],
)
def test_each_field_says_how_alike_it_is(find, changes, field, level):
    rows = [*strangers(50), {"customer_id": "A"} | ANNA, {"customer_id": "B"} | ANNA | changes]
    pair = only_pair(find(rows, min_probability=0.01))
    assert pair[f"{field}_level"] == level
    assert {pair[f"{other}_level"] for other in FIELDS if other != field} == {"same"}


def test_twins_with_one_of_everything_are_two(find):
    rows = [*strangers(50), {"customer_id": "A"} | ANNA, {"customer_id": "B"} | ANNA | {"name": "Jonas Meyerhoff"}]
    assert find(rows).pairs.num_rows == 0
    pair = only_pair(find(rows, min_probability=0.0001))
    assert pair["name_level"] == "partly"
    assert pair["household_bits"] < 0
    assert pair["match_probability"] < 0.5


def test_a_rare_name_says_more_than_a_frequent_one(find):
    common = [row | {"name": "Peter Schmidt"} for row in strangers(40)]
    rows = [*common, {"customer_id": "A"} | ANNA, {"customer_id": "B"} | ANNA, *strangers(90)[40:]]
    pairs = find(rows, min_probability=0).pairs.to_pylist()
    rare = next(pair["name_bits"] for pair in pairs if pair["customer_id_a"] == "A")
    frequent = {pair["name_bits"] for pair in pairs if pair["customer_id_a"] != "A"}
    assert len(frequent) == 1
    assert rare > frequent.pop() + 3


def test_a_value_of_a_crowd_identifies_nobody_and_costs_nothing(find):
    rows = [row | {"email": "unknown@example.org", "phone": "0151 23456789"} for row in strangers(CROWD + 10)]
    found = find(rows, min_probability=0)
    assert found.n_scored == 0


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_to_compare(find, people, n):
    found = find(people.company(10).identities.slice(0, n))
    assert (found.pairs.num_rows, found.n_customers, found.n_scored) == (0, n, 0)


def test_hostile_ids_are_only_ids(find):
    ids = ["'); DROP TABLE people; --", '"quoted"']
    pair = only_pair(find([*strangers(50), *({"customer_id": one} | ANNA for one in ids)]))
    assert {pair["customer_id_a"], pair["customer_id_b"]} == set(ids)
