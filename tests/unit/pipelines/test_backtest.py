"""The backtest: past nights again, each with what was known then, against what has happened since."""

import json
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from data.errors import LakeError, UserError
from models.replay import RECENCY, SERVING
from pipelines.backtest import _History, _Replay, backtest, in_json, write
from pipelines.cli import app
from pipelines.report.backtest import backtest_page, headline
from pipelines.settings import Settings

FROM, TO = date(2024, 10, 7), date(2024, 11, 11)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(two_nights):
    return backtest(two_nights.second.settings, FROM, TO, 35)


def test_every_night_is_compared_with_what_happened_after_it(found):
    assert found.decisions["as_of"].tolist() == [FROM, TO]
    assert set(found.quality["as_of"]) == {FROM, TO}
    wide = found.quality.pivot(index=["as_of", "speaker"], columns="metric", values="value")
    assert (wide.xs(RECENCY, level="speaker")["auc"] > 0.5).all()
    assert wide["churned_share"].between(0, 1).all()
    assert set(found.earnings["ranking"]) >= {"by_recency", "by_lot"}


def test_a_model_serves_from_the_night_on_which_it_was_promoted(found):
    serving = None
    for row in found.decisions.to_dict("records"):
        serving = row["as_of"] if row["decision"] == "promoted" else serving
        assert row["serving_since"] == serving
        speakers = set(found.quality.loc[found.quality["as_of"] == row["as_of"], "speaker"])
        assert (SERVING in speakers) == (serving is not None)


def test_what_came_to_be_known_later_changes_nothing_that_was_said(two_nights):
    """The first night of the lake, and one two weeks later, replay the same day with the same words."""
    lake, settings = two_nights.second.lake, two_nights.second.settings
    said = []
    for run in (two_nights.first, two_nights.second):
        history = _History(settings, lake, lake.snapshot(run.run_key))
        history.horizon_days = 28
        nights, skipped = history.nights([FROM])
        assert not skipped
        said.append(_Replay(settings, history, nights).tables()["decisions"].to_dict("records"))
    assert said[0] == said[1]


def test_nights_that_cannot_be_replayed_say_why(two_nights):
    settings = two_nights.second.settings
    early, late = date(2024, 1, 15), date(2024, 12, 30)
    found = SimpleNamespace(lake=two_nights.second.lake)
    history = _History(settings, found.lake, found.lake.snapshot())
    nights, skipped = history.nights([date(2023, 1, 1), early, FROM, late])
    assert list(nights) == [datetime(FROM.year, FROM.month, FROM.day)]
    assert skipped[0] == "2023-01-01: nothing was known yet"
    assert skipped[1].startswith("2024-01-15: history from")
    assert skipped[2] == f"2024-12-30: its horizon of {history.horizon_days} days is not over"


@pytest.mark.parametrize(
    ("from_on", "to_on", "message"),
    [
        (TO, FROM, "a first and a last day"),
        (date(2024, 12, 30), date(2024, 12, 31), "no night from 2024-12-30 to 2024-12-31 that can be replayed"),
    ],
)
def test_days_that_cannot_be_asked_for(two_nights, from_on, to_on, message):
    with pytest.raises(UserError, match=message):
        backtest(two_nights.second.settings, from_on, to_on, 7)


def test_a_lake_without_a_night(tmp_path):
    with pytest.raises(LakeError):
        backtest(Settings.demo().model_copy(update={"root": tmp_path}), FROM, TO)


class TestFiles:
    def test_page_and_figures_are_for_their_owner_alone(self, found, tmp_path):
        files = write(found, Settings.demo().model_copy(update={"root": tmp_path}), backtest_page(found))
        assert {oct(file.stat().st_mode & 0o777) for file in files.values()} == {"0o600"}
        assert files["report"].name == "2024-10-07--2024-11-11-every-35.html"
        assert json.loads(files["figures"].read_text()) == in_json(found)
        assert in_json(found)["decisions"][0]["as_of"] == "2024-10-07"

    def test_the_page_says_what_is_assumed_and_asks_the_network_for_nothing(self, found):
        page = backtest_page(found)
        assert "Assumed: a contact costs" in page
        assert "Only a campaign with a holdout can say" in page
        assert "http" not in page.replace("http-equiv", "")
        assert headline(found) in page

    def test_skipped_nights_are_on_it(self, found):
        found.__dict__["skipped"] = ("2023-01-01: nothing was known yet",)
        try:
            assert "Not replayed: 2023-01-01: nothing was known yet." in backtest_page(found)
        finally:
            found.__dict__["skipped"] = ()


def test_the_command(two_nights, tmp_path, monkeypatch):
    root = two_nights.second.settings.root
    (tmp_path / "lake").symlink_to(root.resolve() / "lake")
    until = str(FROM + timedelta(days=1))
    monkeypatch.chdir(tmp_path)
    whose = ["--config", str(two_nights.config), "--root", str(tmp_path)]
    told = CliRunner().invoke(app, ["backtest", "--from", str(FROM), "--to", until, *whose])
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[0].endswith((" dates.", " use."))
    assert len(list((tmp_path / "backtests").glob(f"{FROM}--{until}-every-*.html"))) == 1
