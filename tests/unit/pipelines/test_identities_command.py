"""The command's words: pairs with evidence and masked contacts, decisions in the log, one line for each error."""

import json
from datetime import date, datetime

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from data.errors import LockHeldError
from data.identity.log import IdentityError
from data.identity.masters import master_ids, read_log
from data.lake import Lake
from pipelines.commands.identities import UnknownCustomerError, _shown, app, masked

AS_OF = datetime(2024, 5, 1)
ANNA = {
    "name": "Anna Meyerhoff",
    "email": "anna.meyerhoff@example.org",
    "phone": "+49 151 23456789",
    "street": "Hauptstraße 5",
    "postal_code": "10115",
    "city": "Berlin",
    "country": "DE",
}


def strangers():
    """Return sixty customers who share a town with Anna and nothing else."""
    words = [f"{a}{b}{a}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"][:60]
    return [
        ANNA
        | {"customer_id": f"S{i}", "name": f"{word} {word[::-1]}ski", "email": f"{word}@{word}.net"}
        | {"phone": f"+49 152 {21_000_000 + 777_777 * i}", "street": f"Weg {i}"}
        for i, word in enumerate(words)
    ]


@pytest.fixture
def root(tmp_path):
    lake = Lake(tmp_path / "lake")
    people = [ANNA | {"customer_id": "A"}, ANNA | {"customer_id": "B", "name": "MEYERHOFF, Anna"}, *strangers()]
    customers = pa.table(
        {"customer_id": ["A", "B", "C"], "first_seen_on": [date(2023, 1, 1), date(2020, 1, 1), None]},
    )
    with lake.lock():
        versions = {
            name: lake.write(name, table, as_of=None, fingerprint="f")
            for name, table in (("identities", pa.Table.from_pylist(people)), ("customers", customers))
        }
        lake.publish(
            "k", flow="nightly", as_of=AS_OF, code_digest="c", versions=versions, summary={}, mlflow_run_id=None
        )
    (tmp_path / "regulars.toml").write_text("")
    return tmp_path


@pytest.fixture
def run(root):
    def run(*words):
        return CliRunner().invoke(
            app, [*words, "--config", str(root / "regulars.toml"), "--root", str(root)], catch_exceptions=True
        )

    return run


def decide(run, action, a, b):
    return run(action, a, b, "--by", "Kim", "--reason", "called them")


def test_pairs_are_shown_with_evidence_and_masked_contacts(run):
    shown = run("candidates")
    assert shown.exit_code == 0, shown.output
    assert "A B  " in shown.output
    assert "name same +" in shown.output
    assert "a***@e***.org" in shown.output
    assert "anna.meyerhoff@example.org" not in shown.output
    assert "23456789" not in shown.output.replace(" ", "")
    assert "1 pairs at 0.9 or above" in shown.output


def test_json_holds_levels_and_no_person(run):
    shown = run("candidates", "--json")
    (pair,) = json.loads(shown.output)
    assert (pair["customer_id_a"], pair["customer_id_b"], pair["email_level"]) == ("A", "B", "same")
    assert not [
        value for value in ("meyerhoff", "example.org", "hauptstr", "berlin") if value in shown.output.casefold()
    ]


def test_fewer_pairs_at_a_higher_probability(run):
    assert "1 pairs" in run("candidates", "--min-probability", "0.5").output
    assert run("candidates", "--min-probability", "1.5").exit_code == 2


def test_a_merge_is_written_down_and_the_first_seen_keeps_the_id(run, root):
    said = decide(run, "merge", "A", "B")
    assert said.output.strip() == "A and B are one person, B (decision 0)."
    assert master_ids(Lake(root / "lake")).to_pylist() == [{"customer_id": "A", "master_id": "B"}]
    assert "0 pairs" in run("candidates").output


def test_a_split_takes_it_back_and_the_pair_is_not_shown_again(run, root):
    decide(run, "merge", "A", "B")
    assert "two persons again" in decide(run, "split", "A", "B").output
    assert master_ids(Lake(root / "lake")).num_rows == 0
    assert "0 pairs" in run("candidates").output


def test_the_log_tells_what_was_decided(run):
    assert "Nothing was decided yet." in run("log").output
    decide(run, "merge", "A", "B")
    decide(run, "split", "B", "A")
    lines = run("log").output.splitlines()
    assert ["merge" in lines[0], "split" in lines[1], len(lines)] == [True, True, 2]
    assert "Kim: called them" in lines[0]
    rows = json.loads(run("log", "--json").output)
    assert [row["action"] for row in rows] == ["merge", "split"]


def test_a_customer_of_either_table_is_known(run):
    assert decide(run, "merge", "C", "S1").exit_code == 0


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("merge", "A", "nobody"), UnknownCustomerError, "no customer nobody"),
        (("merge", "A", "A"), IdentityError, "A twice"),
        (("split", "A", "B"), IdentityError, "two persons already"),
    ],
)
def test_errors_are_one_line(run, root, words, error, said):
    refused = decide(run, *words)
    assert isinstance(refused.exception, error)
    assert said in str(refused.exception)
    assert "\n" not in str(refused.exception)
    assert read_log(Lake(root / "lake")).num_rows == 0


def test_a_second_merge_is_refused(run, root):
    decide(run, "merge", "A", "B")
    assert isinstance(decide(run, "merge", "B", "A").exception, IdentityError)
    assert read_log(Lake(root / "lake")).num_rows == 1


def test_a_decision_does_not_cut_into_a_night(run, root):
    with Lake(root / "lake").lock():
        assert isinstance(decide(run, "merge", "A", "B").exception, LockHeldError)
    assert read_log(Lake(root / "lake")).num_rows == 0


def test_who_and_why_are_asked_for(run):
    assert run("merge", "A", "B", "--by", "Kim").exit_code == 2
    assert run("merge", "A", "B", "--reason", "x").exit_code == 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [("jane@doe.com", "j***@d***.com"), ("a@b@c.org", "a***@c***.org"), ("@", "***@***."), ("0151", "0***51")],
)
def test_masks(value, shown):
    assert masked(value) == shown


def test_a_mailbox_in_the_wrong_field_is_masked_too():
    assert _shown("name", "anna.meyerhoff@example.org") == "a***@e***.org"
    assert _shown("street", "call 0151 23456789") == "c***89"
    assert (_shown("city", "Berlin"), _shown("city", None)) == ("Berlin", "-")
