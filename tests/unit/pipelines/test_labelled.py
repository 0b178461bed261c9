"""A labelled flat file: trained, judged by lot, scored with reasons, and refused where nothing is to be learned."""

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from data.errors import ConfigError, TrainingError
from pipelines.commands.labelled import labelled as command
from pipelines.labelled import BASELINE, JUDGED_SHARE, LABEL, TONIGHT, Labelled, labelled
from pipelines.report.labelled import headline, labelled_page
from pipelines.settings import Settings

AT = datetime(2024, 1, 1)
CONFIG = """
root = "{root}"

[company]
name = "Phones"
currency = "EUR"
currency_symbol = "€"
timezone = "UTC"

[sources.customers]
path = "customers.csv"
columns = {{ customer_id = "id" }}
label = {{ column = "left", churned = ["yes"], kept = ["no"] }}
attributes = ["plan", "city"]
numbers = ["months", "fee"]
"""


def customers(n: int = 700, *, signal: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Return a file whose leavers have monthly plans, few months and a high fee; every fortieth has no label."""
    rng = np.random.default_rng(seed)
    is_monthly, months, fee = rng.random(n) < 0.5, rng.integers(1, 60, n), rng.normal(70, 20, n).round(2)
    odds = -0.5 + 2.0 * is_monthly - 0.06 * months + 0.03 * (fee - 70)
    p = 1 / (1 + np.exp(-signal * odds))
    left = np.where(rng.random(n) < p, "yes", "no").astype(object)
    left[::40] = None
    plan = np.where(is_monthly, "monthly", "yearly")
    return pd.DataFrame(
        {"id": [f"k{place:05d}" for place in range(n)], "left": left, "plan": plan, "months": months, "fee": fee,
         "city": rng.choice(["Brno", "Linz"], n)}
    )  # fmt: skip


def settings(folder: Path, frame: pd.DataFrame, config: str = CONFIG) -> Settings:
    frame.to_csv(folder / "customers.csv", index=False)
    (folder / "regulars.toml").write_text(config.format(root=folder / "var"))
    return Settings.read(folder / "regulars.toml")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    return labelled(settings(tmp_path_factory.mktemp("labelled"), customers()), AT)


class TestFound:
    def test_every_customer_is_used_once(self, found: Labelled) -> None:
        assert found.n_trained + found.n_judged + found.n_unlabelled == 700
        assert found.n_unlabelled == 18
        assert found.n_judged / 682 == pytest.approx(JUDGED_SHARE, abs=0.06)

    def test_it_beats_the_best_single_column_and_the_gate_says_so(self, found: Labelled) -> None:
        assert found.decision.decision == "promoted"
        assert found.decision.difference_high is not None
        assert found.decision.difference_high < 0
        loss = found.metrics[found.metrics["metric"] == "log_loss"].set_index("model")["value"]
        assert loss[TONIGHT] < loss[BASELINE]
        assert found.best_column in {"months", "plan"}

    def test_everybody_is_scored_riskiest_first_with_reasons_in_the_words_of_the_file(self, found: Labelled) -> None:
        scores = found.scores
        assert len(scores) == 700
        assert scores["churn_probability"].is_monotonic_decreasing
        assert (
            scores["churn_probability"].between(scores["churn_probability_low"], scores["churn_probability_high"]).all()
        )
        assert "plan is monthly" in scores["reasons"].iloc[0] or "months is" in scores["reasons"].iloc[0]
        assert scores[LABEL].isna().sum() == found.n_unlabelled
        assert scores["is_judged"].sum() == found.n_judged

    def test_the_measures_are_those_of_the_judged_customers_alone(self, found: Labelled) -> None:
        judged = found.scores[found.scores["is_judged"]]
        brier = ((judged["churn_probability"] - judged[LABEL].astype(float)) ** 2).mean()
        rows = found.metrics.set_index(["model", "metric"])
        assert rows.loc[(TONIGHT, "brier"), "value"] == pytest.approx(brier)

    def test_the_order_of_the_file_says_nothing(self, found: Labelled, tmp_path: Path) -> None:
        again = labelled(settings(tmp_path, customers().sample(frac=1, random_state=3)), AT)
        pd.testing.assert_frame_equal(again.scores, found.scores)

    def test_the_page_says_what_was_found_and_names_no_customer(self, found: Labelled) -> None:
        html = labelled_page(found)
        assert headline(found) in html
        assert "left as often as was said." in html
        assert "need not change the outcome" in html
        assert not [one for one in found.scores["customer_id"] if one in html]


def test_where_nothing_is_to_be_learned_nobody_is_scored(tmp_path: Path) -> None:
    found = labelled(settings(tmp_path, customers(400, signal=0.0)), AT)
    assert found.decision.decision == "refused"
    assert found.scores.empty
    assert headline(found).startswith("No model tells who leaves better than")
    assert labelled_page(found)


def test_one_kind_of_label_cannot_train(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the label says"):
        labelled(settings(tmp_path, customers(80).assign(left="no")), AT)


def test_a_file_without_labels_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no customer with a label"):
        labelled(settings(tmp_path, customers(80).assign(left="")), AT)
    without = CONFIG.replace('label = {{ column = "left", churned = ["yes"], kept = ["no"] }}\n', "")
    with pytest.raises(ConfigError, match="label"):
        labelled(settings(tmp_path, customers(80), without), AT)
    with pytest.raises(ConfigError, match=r"no \[sources.customers\]"):
        labelled(Settings(), AT)


def test_the_command_writes_scores_page_and_figures_and_takes_old_scores_away(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    path = str(tmp_path / "regulars.toml")
    settings(tmp_path, customers(500))
    told = CliRunner().invoke(app, ["--config", path, "--json"])
    assert told.exit_code == 0, told.output
    folder = tmp_path / "var" / "labelled"
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 500
    assert json.loads(told.stdout) == json.loads((folder / "figures.json").read_text())
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    settings(tmp_path, customers(240, signal=0.0))
    told = CliRunner().invoke(app, ["--config", path])
    assert "No model tells" in told.stdout
    assert sorted(file.name for file in folder.iterdir()) == ["figures.json", "report.html"]
