"""Planning says which run a configuration and a day ask for, and starts nothing."""

from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.demo import AS_OF
from data.errors import ConfigError
from data.sources import DemoSource, ParquetSource
from pipelines.plan import open_source, plan
from pipelines.run import REPORTER, Silent
from pipelines.settings import Settings, Source


@pytest.fixture
def config(tmp_path) -> Path:
    for name in ("customers", "products", "transactions"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        pq.write_table(pa.table({"x": [name]}), tmp_path / "raw" / f"{name}.parquet")
    text = f'root = "{tmp_path}/var"\n[source]\nkind = "parquet"\npath = "{tmp_path}/raw"\n'
    text += '[decisions]\nassumed_consent = ["marketing"]\n'
    (tmp_path / "regulars.toml").write_text(text + '[company]\ntimezone = "Europe/Berlin"\n')
    return tmp_path / "regulars.toml"


def test_the_day_is_asked_for_in_the_company_s_time_zone(config):
    asked = []
    run = plan(config, None, lambda timezone: asked.append(timezone) or date(2024, 7, 1))
    assert asked == ["Europe/Berlin"]
    assert run.as_of == datetime(2024, 6, 30, 22)
    assert run.as_of_on == date(2024, 7, 1)


def test_the_demo_has_a_day_of_its_own(tmp_path):
    run = plan(None, tmp_path, lambda _: date(1999, 1, 1))
    assert run.as_of == AS_OF
    assert run.as_of_on == date(2018, 1, 1)
    assert run.settings.root == tmp_path


def test_the_same_question_has_the_same_answer(config):
    first, second = (plan(config, None, lambda _: date(2024, 7, 1)) for _ in range(2))
    assert first.run_key == second.run_key
    assert first == second


def test_day_settings_and_source_make_another_run_and_places_do_not(config, tmp_path):
    def key(root: str | None = None, day: int = 1) -> str:
        return plan(config, root, lambda _: date(2024, 7, day)).run_key

    first = key()
    assert key(root=str(tmp_path / "elsewhere")) == first
    assert key(day=2) != first
    text = config.read_text()
    config.write_text(text.replace("/raw", "/moved") + "[engine]\nthreads = 1\n[schedule]\ncron = '0 5 * * *'\n")
    (tmp_path / "raw").rename(tmp_path / "moved")
    assert key() == first
    config.write_text(config.read_text() + "[money]\nmargin_share = 0.1\n")
    assert key() != first
    pq.write_table(pa.table({"x": ["other"]}), tmp_path / "moved" / "products.parquet")
    config.write_text(text.replace("/raw", "/moved"))
    assert key() != first


def test_nothing_is_started_and_no_file_read_but_for_its_digest(config, tmp_path):
    plan(config, None, lambda _: date(2024, 7, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "regulars.toml"]


def test_the_source_is_the_one_that_the_settings_name(config, tmp_path):
    assert isinstance(open_source(Settings()), DemoSource)
    assert isinstance(open_source(Settings.read(config)), ParquetSource)
    with pytest.raises(ConfigError, match=r"no customers\.parquet, products\.parquet, transactions\.parquet"):
        open_source(Settings(source=Source(kind="parquet", path=tmp_path / "nothing")))


def test_a_relative_path_begins_at_the_configuration(config, tmp_path, monkeypatch):
    absolute = plan(config, None, lambda _: date(2024, 7, 1)).source_digest
    config.write_text(config.read_text().replace(f'path = "{tmp_path}/raw"', 'path = "raw"'))
    monkeypatch.chdir("/")
    assert plan(config, None, lambda _: date(2024, 7, 1)).source_digest == absolute


def test_without_a_word_on_consent_no_night_is_planned(config):
    """It would be said at the end otherwise, when all the work is done."""
    config.write_text(config.read_text().replace('assumed_consent = ["marketing"]', ""))
    with pytest.raises(ConfigError, match="no table of consents and no rule for 'marketing'"):
        plan(config, None, lambda _: date(2024, 7, 1))


def test_whoever_listens_in_this_context_hears_of_the_run(config):
    listener = Silent()
    token = REPORTER.set(listener)
    try:
        assert plan(config, None, lambda _: date(2024, 7, 1)).reporter is listener
    finally:
        REPORTER.reset(token)


@pytest.mark.parametrize(
    "section",
    [
        'customers]\npath = "a.csv"\ncolumns.customer_id = "id"\nlabel = { column = "left", churned = ["yes"] }',
        'subscriptions]\npath = "a.csv"\ncolumns = { customer_id = "id", plan = "plan", started_on = "from" }',
    ],
)
def test_a_night_without_order_lines_is_refused_in_one_line_that_names_what_answers_meanwhile(tmp_path, section):
    path = tmp_path / "regulars.toml"
    path.write_text(f"[sources.{section}\n")
    with pytest.raises(ConfigError, match=r"no \[sources\.transactions\], only (customers|subscriptions)") as caught:
        plan(path, None, lambda _: date(2024, 1, 1))
    assert caught.value.exit_code == 2
    assert "regulars check" in str(caught.value)
    assert "\n" not in str(caught.value)
