"""``regulars rules`` and ``regulars offers`` on a night of the small shop."""

import json

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from data.errors import LakeError
from pipelines.commands.selling import offers, rules, sides


@pytest.fixture(scope="module")
def run(two_nights):
    app = typer.Typer()
    app.command()(rules)
    app.command()(offers)
    return lambda *words: CliRunner().invoke(app, [*words, "--config", str(two_nights.config)])


@pytest.fixture(scope="module")
def made(two_nights) -> dict[str, pd.DataFrame]:
    lake = two_nights.second.lake
    snapshot = lake.snapshot()
    return {
        name: lake.read(name, version=snapshot.versions[name], as_of=snapshot.as_of).to_pandas()
        for name in ("rules", "offers", "actions", "rule_counts")
    }


def test_rules_say_how_many_survived_and_show_only_those(run, made) -> None:
    done = run("rules", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["sentence"] == made["rule_counts"]["sentence"].iloc[0]
    kept = made["rules"][made["rules"]["is_confirmed"].astype(bool)]
    assert len(told["rules"]) == min(20, len(kept))
    names = set(zip(kept["antecedents"], kept["consequents"], strict=True))
    assert all((rule["antecedents"], rule["consequents"]) in names for rule in told["rules"])
    assert "candidate rules survived" in run("rules").output


def test_why_not_answers_for_any_pair(run, made) -> None:
    fallen = made["rules"][~made["rules"]["is_confirmed"].astype(bool)]
    for rule in fallen.head(2).itertuples():
        done = run("rules", "--why-not", f"{rule.antecedents} -> {rule.consequents}")
        assert done.exit_code == 0
        assert rule.antecedents in done.output
        assert "survived" not in done.output
    assert "not a candidate" in run("rules", "--why-not", "nothing -> nowhere").output
    assert "not two categories with an arrow between" in run("rules", "--why-not", "half a rule").output


@pytest.mark.parametrize("text", ["bread", "bread ->", "-> butter", "a -> b -> c", ""])
def test_half_a_rule_is_no_rule(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="two categories"):
        sides(text)


def test_arrows_and_blanks() -> None:
    assert sides("  whole milk→ rolls/buns ") == ("whole milk", "rolls/buns")


def test_offers_of_a_customer_come_best_first_with_what_was_decided(run, made) -> None:
    customer = made["offers"]["customer_id"].iloc[0]
    told = json.loads(run("offers", customer, "--json").output)
    mine = made["offers"][made["offers"]["customer_id"] == customer].sort_values("rank")
    assert [offer["category"] for offer in told["offers"]] == mine["category"].tolist()
    decided = made["actions"].set_index("customer_id")["action"].get(customer, "none")
    assert told["action"] == decided
    assert str(decided).replace("_", " ") in run("offers", customer).output


def test_an_unknown_customer_is_a_user_error(run) -> None:
    assert isinstance(run("offers", "nobody at all").exception, LakeError)
