"""``regulars features`` and its page: what each feature is, how it lies, who left, and which one knows too much."""

import json
import math
import os
import re
from html import unescape

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from data.errors import ConfigError, LakeError
from data.lake import Lake
from features.registry import FEATURES
from models.evaluation import Estimate
from models.inputs import INPUTS
from models.univariate import Band, Spread, spread
from pipelines.catalogue import measure
from pipelines.commands.features import features
from pipelines.report.catalogue import catalogue_page
from pipelines.report.catalogue_charts import histogram, leaving
from pipelines.report.units import span, written

NAN = float("nan")


def of(found, name):
    return next(one for one in found.features if one.name == name)


def changed(made, **columns):
    """Return the labelled past with some columns replaced."""
    frame = made.tables["training_observations"].to_pandas().assign(**columns)
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


class TestFacts:
    def test_the_whole_night_is_counted(self, settings, made):
        found = measure(settings)
        past = made.tables["training_observations"].to_pandas()
        past = past[past["is_eligible"]]
        assert (found.n_customers, found.n_past, found.n_dates) == (len(made.customer_ids), len(past), 2)
        assert found.n_past_customers == past["customer_id"].nunique()
        assert found.left_share == pytest.approx(past["has_churned"].mean())
        assert (found.horizon_days, found.model_auc) == (28, Estimate(0.9, 0.88, 0.99, 99))
        assert [(one.family, one.name) for one in found.features] == sorted(
            (one.family, one.name) for one in found.features
        )

    def test_a_feature_is_what_the_registry_says_and_what_the_tables_hold(self, settings, made):
        one = of(measure(settings), "gap_mean_days")
        known = FEATURES["gap_mean_days"]
        assert (one.unit, one.null, one.lookback, one.doc) == (known.unit, known.null, None, known.doc)
        assert one.sources == "transactions"
        assert one.is_learned == ("gap_mean_days" in INPUTS)
        tonight = made.tables["observations"].to_pandas()["gap_mean_days"].to_numpy(float)
        assert one.tonight == spread(tonight)
        past = made.tables["training_observations"].to_pandas()
        past = past[past["is_eligible"]]
        assert one.past_missing_share == pytest.approx(past["gap_mean_days"].isna().mean())
        lowest = one.bands[0]
        inside = past["gap_mean_days"].between(lowest.low, lowest.high)
        assert lowest.share == pytest.approx(past.loc[inside, "has_churned"].mean())

    def test_what_the_night_does_not_have_is_named(self, settings):
        found = measure(settings)
        assert set(found.absent) == set(FEATURES) - {one.name for one in found.features}
        assert found.absent

    def test_who_objects_to_profiling_is_not_counted_in_the_past(self, publish, made):
        past = made.tables["training_observations"].to_pandas()
        one = past.loc[past["is_eligible"], "customer_id"].iloc[0]
        row = {"customer_id": one, "purpose": "profiling", "is_granted": False}
        row |= {"event_time": past["as_of"].min(), "known_at": past["as_of"].min()}
        said = pa.Table.from_pylist([row], made.tables["consents"].schema)
        before, after = measure(publish()), measure(publish(consents=said))
        assert before.n_past - after.n_past == (past["is_eligible"] & (past["customer_id"] == one)).sum() > 0

    def test_a_night_without_labels_still_shows_how_features_lie(self, publish, made):
        found = measure(publish(training_observations=made.tables["training_observations"].slice(0, 0)))
        one = of(found, "recency_days")
        assert (one.bands, found.n_past) == ((), 0)
        assert math.isnan(one.auc.value)
        assert math.isnan(found.left_share)
        assert one.tonight.n_known == len(made.customer_ids)
        page = catalogue_page(found)
        assert "nobody is labelled" in page
        assert "Share that left" not in page

    def test_a_night_without_measures_or_consents_is_read_too(self, publish):
        assert measure(publish(churn_metrics=None, consents=None)).model_auc is None

    def test_without_observations_it_says_so(self, publish, settings, tmp_path):
        with pytest.raises(LakeError, match="a night without training_observations"):
            measure(publish(training_observations=None))
        with pytest.raises(LakeError, match="no published night"):
            measure(settings.model_copy(update={"root": tmp_path / "elsewhere"}))


class TestAlarm:
    """Catalogue row L4: a planted leak of each kind is caught and named, and nothing else is."""

    def leaky(self, made, kind):
        past = made.tables["training_observations"].to_pandas()
        y = past["has_churned"].astype(float)
        noise = np.random.default_rng(1).normal(size=len(past))
        return {"alias": y, "function": 1_000 - 500 * y + noise, "missing": y.where(y == 0)}[kind]

    @pytest.mark.parametrize("kind", ["alias", "function", "missing"])
    def test_a_feature_that_knows_the_label_is_named_on_page_and_terminal(self, publish, made, kind, tmp_path):
        settings = publish(training_observations=changed(made, discount_share=self.leaky(made, kind)))
        found = measure(settings)
        assert [one.name for one in found.alarms] == ["discount_share"]
        page = catalogue_page(found)
        assert "Look at these first" in page
        assert 'href="#discount_share">discount_share</a> alone ranks who left with an AUC of' in page
        app = typer.Typer()
        app.command()(features)
        config = tmp_path / "regulars.toml"
        config.write_text(f'root = "{settings.root}"\n[company]\ntimezone = "UTC"\n')
        done = CliRunner().invoke(app, ["--config", str(config), "--html", str(tmp_path / "f.html")])
        assert "! discount_share alone ranks who left" in done.output

    def test_an_honest_night_has_none(self, settings):
        found = measure(settings)
        assert found.alarms == ()
        page = catalogue_page(found)
        assert "Look at these first" not in page
        assert "No feature alone reaches an AUC of 0.95" in page


@pytest.fixture(scope="module")
def found(settings):
    return measure(settings)


@pytest.fixture(scope="module")
def page(found):
    return catalogue_page(found)


class TestPage:
    def test_every_feature_has_its_place_and_a_link_to_it(self, page, found):
        for one in found.features:
            assert page.count(f'<article class="feature" id="{one.name}">') == 1
            assert page.count(f'class="v name" href="#{one.name}"') == 1
            assert one.doc in unescape(page)

    def test_ids_are_unique_and_links_lead_somewhere(self, page):
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)

    def test_it_names_no_customer_and_runs_nothing_of_the_data(self, page, made):
        for customer in made.customer_ids:
            assert customer not in page
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
        assert page.count("<script") == 1
        assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)

    def test_it_says_what_is_unknown_and_what_it_means(self, page):
        assert "Known of every customer." in page
        assert re.search(r"Unknown of \d+\.\d.%: no running contract\.", page)
        assert "fewer than two purchase days before as_of" in page

    def test_a_feature_that_nobody_has_is_not_drawn(self, publish, made):
        tonight, past = (made.tables[name] for name in ("observations", "training_observations"))
        place = tonight.column_names.index("contract_fee_cents")
        nothing = {
            name: table.set_column(place, "contract_fee_cents", pa.nulls(table.num_rows, pa.float64()))
            for name, table in (("observations", tonight), ("training_observations", past))
        }
        page = catalogue_page(measure(publish(**nothing)))
        article = page[page.index('id="contract_fee_cents"') :]
        article = article[: article.index("</article>")]
        assert "Never known tonight: no running contract." in article
        assert "<svg" not in article

    def test_where_a_source_ended_it_says_so(self, publish, made):
        half = made.tables["training_observations"].to_pandas()["order_value_mean_cents"].copy()
        half[: len(half) // 2] = np.nan
        page = catalogue_page(measure(publish(training_observations=changed(made, order_value_mean_cents=half))))
        assert re.search(r"Of those who bought lately it is 0\.0.%, and in the past it was \d\d\.\d.%", page)

    def test_the_same_night_gives_the_same_page_of_a_size_to_send(self, found, page):
        assert catalogue_page(found) == page
        assert len(page.encode()) < 1_500_000


class TestCharts:
    BANDS = (
        Band(0, 3, 0.1, 0.05, 0.2, 100, 90),
        Band(4, 4, 0.2, 0.15, 0.3, 100, 90),
        Band(5, 99, 0.4, 0.3, 0.5, 3, 3),
        Band(NAN, NAN, 0.3, 0.2, 0.4, 50, 50),
    )

    def test_bands_are_called_by_their_ends(self):
        drawn = leaving(self.BANDS, 0.2, "count", "€", "words")
        names = re.findall(r'text-anchor="end"[^>]*>([^<]+)<', drawn)
        assert [name for name in names if "%" not in name] == ["up to 3", "4", "from 5", "unknown"]

    def test_a_band_of_few_customers_tells_nothing(self):
        drawn = leaving(self.BANDS, 0.2, "count", "€", "words")
        assert "hidden: fewer than 8 customers" in drawn
        assert "40.0\xa0% left" not in drawn
        assert ">40.0" not in drawn

    def test_small_bins_are_drawn_alike(self):
        found = Spread(200, 200, 0, 1, 2, (-0.5, 0.5, 1.5, 2.5), (150, 47, 3))
        drawn = histogram(found, "count", "€", "words")
        assert drawn.count('class="hollow"') == 2, "a single one could be worked out from the total"
        assert ">3 customers" not in drawn
        assert "≤7 customers" in drawn
        assert "0: 150 customers" in drawn

    def test_flags_are_yes_and_no(self):
        drawn = histogram(spread(np.array([0.0] * 30 + [1.0] * 70)), "flag", "€", "words")
        assert "no: 30 customers" in drawn
        assert "yes: 70 customers" in drawn
        assert re.findall(r">(no|yes)</text>", drawn) == ["no", "yes"]

    def test_nothing_draws_nothing(self):
        assert histogram(spread(np.array([NAN])), "days", "€", "words") == ""
        assert leaving((), NAN, "days", "€", "words") == ""

    def test_what_is_drawn_stays_in_the_picture(self):
        drawn = histogram(spread(np.random.default_rng(0).lognormal(3, 2, 900)), "cents", "€", "words")
        for x, width in re.findall(r'<rect x="([\d.]+)"[^>]* width="([\d.]+)"', drawn):
            assert 0 <= float(x) <= float(x) + float(width) <= 301


class TestUnits:
    @pytest.mark.parametrize(
        ("value", "unit", "expected"),
        [
            (1, "days", "1 day"),
            (12.4, "days", "12 days"),
            (0.04, "days", "0.0 days"),
            (123_456, "cents", "€1,235"),
            (-250, "cents", "−€2.50"),
            (0, "flag", "no"),
            (1_234, "count", "1,234"),
            (1, "years", "1 year"),
            (0.333, "ratio", "0.33"),
            (NAN, "days", "–"),
        ],
    )
    def test_values(self, value, unit, expected):
        assert written(value, unit, "€") == expected

    @pytest.mark.parametrize(
        ("low", "high", "unit", "expected"),
        [
            (1, 12, "days", "1 to 12 days"),
            (1, 2, "years", "1 to 2 years"),
            (3, 3, "days", "3 days"),
            (100, 250, "cents", "€1.00 to €2.50"),
            (0.1, 0.2, "share", "10\xa0% to 20\xa0%"),
        ],
    )
    def test_ranges(self, low, high, unit, expected):
        assert span(low, high, unit, "€") == expected


class TestCommand:
    @pytest.fixture
    def run(self):
        app = typer.Typer()
        app.command()(features)
        return lambda *words: CliRunner().invoke(app, list(words))

    def test_every_feature_is_printed_with_its_unit_and_tables(self, run):
        done = run()
        assert done.exit_code == 0, done.output
        for name, one in FEATURES.items():
            assert f"  {name} " in done.output, name
            assert one.family.capitalize() in done.output
        assert "unknown: fewer than two purchase days before" in done.output
        assert f"{len(FEATURES)} features." in done.output

    def test_one_family(self, run):
        done = run("--family", "Rhythm")
        assert "gap_mean_days" in done.output
        assert "recency_days" not in done.output

    def test_an_unknown_family_names_the_known_ones(self, run):
        done = run("--family", "rythm")
        assert isinstance(done.exception, ConfigError)
        assert "rhythm" in str(done.exception)

    def test_a_script_reads_json(self, run):
        rows = json.loads(run("--json").output)
        assert [row["name"] for row in rows] == list(FEATURES)
        by_name = {row["name"]: row for row in rows}
        assert by_name["n_orders_28d"]["lookback"] == 28
        assert by_name["gap_mean_days"]["lookback"] is None
        assert set(rows[0]) == {"name", "family", "unit", "null", "lookback", "view", "sources", "doc"}

    def test_the_plan_says_that_each_view_is_read_once(self, run):
        rows = json.loads(run("--plan", "--json").output)
        assert sum(row["n_features"] for row in rows) == len(FEATURES)
        assert len({row["view"] for row in rows}) == len(rows)
        done = run("--plan")
        assert f"{len(FEATURES)} features from {len(rows)} views" in done.output

    def test_the_page_is_its_owner_s_alone(self, run, settings, tmp_path):
        out = tmp_path / "pages" / "features.html"
        before = os.umask(0)
        try:
            config = tmp_path / "regulars.toml"
            config.write_text(f'root = "{settings.root}"\n[company]\ntimezone = "UTC"\n')
            done = run("--html", str(out), "--config", str(config))
        finally:
            os.umask(before)
        assert done.exit_code == 0, done.output
        assert (out.stat().st_mode & 0o777, out.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert "are in" in done.output


def test_measuring_changes_nothing_in_the_lake(settings):
    lake = Lake(settings.lake_root)
    before = {name: lake.version(name) for name in ("observations", "scores")}
    measure(settings)
    assert {name: lake.version(name) for name in before} == before
    assert isinstance(lake.read("observations").to_pandas(), pd.DataFrame)
