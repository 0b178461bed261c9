"""Great Expectations inside DuckDB: real classes, counts that agree with the predicates, and no trace left behind."""

import os
from datetime import datetime

import duckdb
import pytest

from data.contracts import CONTRACTS
from data.contracts.base import Contract, Delivery, Expectation, ExpectationResult, Rows, Severity, quoted
from data.contracts.rules import (
    RECEIVED_AT,
    Known,
    between,
    enough_rows,
    holds,
    in_set,
    matches,
    not_null,
    references,
    rules,
    unique,
    usual_median,
)
from data.errors import ContractError
from data.validation import gx_expectation, is_checked, stop_if_broken, validate

DELIVERY = Delivery(datetime(2024, 5, 1), currencies=("EUR",), parents={"p": "parent"}, usual_amount_cents=2)
ROWS = Rows("lines", DELIVERY, {})
CONTRACT = Contract("lines", "line", (), (), (), ())


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(config={"threads": 1})
    made.execute("""
        CREATE TABLE lines AS FROM (VALUES
            (1, 'a', TIMESTAMP '2024-04-30', 'EUR'), (2, 'b:c', TIMESTAMP '2024-05-01', NULL),
            (3, '{x}', TIMESTAMP '2024-05-01 00:00:00.000001', 'USD'), (3, NULL, NULL, 'it''s'), (NULL, 'a', NULL, '%s')
        ) t(number, word, instant, currency)""")
    made.execute("CREATE TABLE parent AS FROM (VALUES ('a'), (NULL)) t(word)")
    return made


ALL_KINDS = [
    (not_null("number"), 1),
    (unique("number"), 2),
    (unique("word"), 2),
    (unique("number", "word"), 0),
    (between("number", 2, 3), 1),
    (between("instant", high=RECEIVED_AT), 1),
    (in_set("currency", ("EUR", "it's")), 2),
    (in_set("currency", ()), 4),
    (matches("word", "[a-z]", name="no letter"), 2),
    (matches("word", r"\{x\}|b:c|a", name="braces and colons"), 0),
    (references("word", "p", "word", name="orphan"), 2),
    (holds("too large", "number < 3"), 2),
    (holds("too large or unknown", "number < 3", null_passes=False), 3),
    (holds("a colon and a brace", "word NOT IN ('b:c', '{x}', ' :d')"), 2),
]


@pytest.mark.parametrize(("rule", "n_failed"), ALL_KINDS, ids=[rule.name for rule, _ in ALL_KINDS])
def test_suite_and_predicate_count_the_same_rows(connection, rule, n_failed):
    (result,) = validate(connection, CONTRACT, [rule], ROWS)
    query = f"SELECT count(*) FROM lines WHERE NOT {rule.predicate(ROWS)}"
    assert connection.execute(query).fetchall() == [(n_failed,)]
    assert result == ExpectationResult("lines", rule.name, Severity.REJECT, 5, n_failed, n_failed == 0)


@pytest.mark.parametrize(
    ("rule", "gx_name"),
    [
        (not_null("number"), "ExpectColumnValuesToNotBeNull"),
        (unique("number"), "ExpectColumnValuesToBeUnique"),
        (unique("number", "word"), "ExpectCompoundColumnsToBeUnique"),
        (between("number", 1, 2), "ExpectColumnValuesToBeBetween"),
        (in_set("currency", ("EUR",)), "ExpectColumnValuesToBeInSet"),
        (in_set("currency", ()), "ExpectNoBrokenRows"),
        (references("word", "p", "word", name="orphan"), "ExpectNoBrokenRows"),
        (enough_rows(1), "ExpectTableRowCountToBeBetween"),
        (usual_median("number", Known("usual_amount_cents"), 10, name="slip"), "ExpectColumnMedianToBeBetween"),
    ],
)
def test_rule_becomes_the_class_that_fits(rule, gx_name):
    made = gx_expectation(rule, ROWS)
    assert made is not None
    assert type(made).__name__ == gx_name
    assert made.meta == {"name": rule.name}


@pytest.mark.parametrize(
    ("severity", "gx_severity"),
    [(Severity.CRITICAL, "critical"), (Severity.REJECT, "warning"), (Severity.WARNING, "info")],
)
def test_severity_goes_along(severity, gx_severity):
    for rule in (not_null("number", severity=severity), holds("odd", "number % 2 = 0", severity=severity)):
        made = gx_expectation(rule, ROWS)
        assert made is not None
        assert made.severity == gx_severity


@pytest.mark.parametrize(("usual", "is_passed"), [(1, True), (25, True), (26, False), (None, True)])
def test_median_is_held_against_the_usual_one(connection, usual, is_passed):
    rows = Rows("lines", Delivery(DELIVERY.received_at, usual_amount_cents=usual), {})
    rule = usual_median("number", Known("usual_amount_cents"), 10, name="slip")
    (result,) = validate(connection, CONTRACT, [rule], rows)
    assert result.is_passed is is_passed
    assert result.n_failed == (0 if is_passed else 5)


@pytest.mark.parametrize(("low", "is_passed"), [(5, True), (6, False)])
def test_volume_is_checked(connection, low, is_passed):
    (result,) = validate(connection, CONTRACT, [enough_rows(low)], ROWS)
    assert (result.is_passed, result.detail) == (is_passed, "observed 5")


def test_a_missing_parent_leaves_a_rule_unchecked_and_says_so(connection):
    rule = references("word", "nobody", "word", name="orphan")
    assert not is_checked(rule, ROWS)
    (result,) = validate(connection, CONTRACT, [rule], ROWS)
    assert (result.is_passed, result.n_failed, result.detail) == (True, 0, "not checked: no table nobody")


def test_results_keep_the_order_of_the_rules(connection):
    given = [rule for rule, _ in ALL_KINDS]
    found = [result.expectation for result in validate(connection, CONTRACT, given, ROWS)]
    assert found == [rule.name for rule in given]


def test_a_rule_that_cannot_run_is_no_pass(connection):
    with pytest.raises(duckdb.BinderException, match="no such column"):
        validate(connection, CONTRACT, [holds("no such column", "nothing > 1")], ROWS)


def test_the_connection_stays_open_and_clean(connection):
    tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
    validate(connection, CONTRACT, [rule for rule, _ in ALL_KINDS], ROWS)
    assert connection.execute("SELECT count(*) FROM lines").fetchall() == [(5,)]
    assert connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall() == tables
    connection.execute("BEGIN; CREATE TABLE later (x INTEGER); COMMIT")


def test_nothing_is_written_printed_or_counted_elsewhere(connection, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    validate(connection, CONTRACT, [rule for rule, _ in ALL_KINDS], ROWS)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_a_database_file_is_validated_in_place(tmp_path):
    with duckdb.connect(str(tmp_path / "lines.duckdb")) as made:
        made.execute("CREATE TABLE lines AS SELECT range AS number FROM range(10)")
        (result,) = validate(made, CONTRACT, [between("number", 0, 7)], ROWS)
    assert (result.n_rows, result.n_failed) == (10, 2)


@pytest.mark.parametrize("name", ["a; DROP TABLE lines", "x:y", "{z}", "100 %", "ü (as delivered)"])
def test_hostile_column_names_are_only_names(name):
    made = duckdb.connect(config={"threads": 1})
    made.execute(f"CREATE TABLE lines AS FROM (VALUES ('a'), ('a'), (NULL)) t({quoted(name)})")
    given: list[tuple[Expectation, int]] = [
        (not_null(name), 1),
        (unique(name), 2),
        (in_set(name, ("b",)), 2),
        (matches(name, "b", name="other"), 2),
    ]
    results = validate(made, CONTRACT, [rule for rule, _ in given], ROWS)
    assert [result.n_failed for result in results] == [n_failed for _, n_failed in given]


def test_only_a_broken_critical_expectation_stops():
    def result(severity: Severity, *, is_passed: bool) -> ExpectationResult:
        return ExpectationResult("lines", "volume", severity, 5, 0, is_passed, "observed 5")

    stop_if_broken([result(severity, is_passed=severity is Severity.CRITICAL) for severity in Severity])
    with pytest.raises(ContractError, match=r"lines: volume \(observed 5\)") as caught:
        stop_if_broken([result(Severity.CRITICAL, is_passed=False)])
    assert caught.value.exit_code == 3


def test_every_rule_of_every_contract_is_stated_to_great_expectations():
    parents = {name: f"{name}_accepted" for name in CONTRACTS}
    for name, contract in CONTRACTS.items():
        rows = Rows(f"{name}__rows", Delivery(DELIVERY.received_at, parents=parents, usual_amount_cents=250), {})
        assert all(gx_expectation(rule, rows) is not None for rule in rules(contract))
