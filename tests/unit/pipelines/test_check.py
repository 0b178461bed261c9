"""The check on small shops whose facts are known by hand, on broken ones, and on published data."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from data.errors import ConfigError
from pipelines.check import Readiness, check
from pipelines.check_lines import gaps
from pipelines.commands.check import check as command
from pipelines.report.document import plain
from pipelines.settings import Settings

HEADER = "order,customer,product,day,quantity,amount,kind"
MAPPING = """
[company]
name = "Corner shop"
currency = "EUR"
currency_symbol = "€"
timezone = "Europe/Berlin"

[sources.transactions]
path = "orders*.csv"
columns = { order_id = "order", customer_id = "customer", product_id = "product", event_time = "day", quantity = "quantity" }
money.amount_cents = { column = "amount" }
product = { category = "kind" }
"""  # noqa: E501 - a line of the configuration


def shop(folder: Path, rows: list[str], more: str = "") -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "orders.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "regulars.toml").write_text(f'root = "{folder}/var"\n{MAPPING}\n{more}')
    return Settings.read(folder / "regulars.toml")


def weekly(n_customers: int, n_weeks: int, leaves_after: int | None = None) -> list[str]:
    """Return orders of bread, and of butter every other week; every third customer may stop after some weeks."""
    rows = []
    for week in range(n_weeks):
        for customer in range(n_customers):
            if leaves_after is None or customer % 3 or week < leaves_after:
                day = date(2023, 1, 2) + timedelta(7 * week + customer % 6)
                order = f"{week}-{customer}"
                rows.append(f"{order},C{customer},bread,{day} 10:00:00,1,2.50,bakery")
                if week % 2:
                    rows.append(f"{order},C{customer},butter,{day} 10:00:00,1,1.50,dairy")
    return rows


def words(readiness: Readiness) -> dict[str, str]:
    return {one.question: one.word for one in readiness.answers}


class TestLines:
    @pytest.fixture
    def found(self, tmp_path: Path) -> Readiness:
        rows = weekly(60, 40)
        rows += ["A1,,bread,2023-02-01 12:00:00,1,2.50,bakery", "R1,C1,bread,2023-02-02 12:00:00,-1,-2.50,bakery"]
        rows += [rows[0], "X1,C1,bread,2023-02-03 12:00:00,none,2.50,bakery"]
        return check(shop(tmp_path / "shop", rows))

    def test_every_row_is_somewhere_and_the_money_adds_up(self, found):
        table = {one.name: one for one in found.facts.tables}["transactions"]
        assert (table.n_rows, table.n_accepted, table.n_quarantined, table.n_duplicates) == (3_604, 3_602, 1, 1)
        assert table.is_reconciled
        assert [(one.name, one.n_rows) for one in table.reasons] == [("quantity is not a decimal", 1)]
        assert table.problem is None

    def test_old_data_are_judged_at_their_own_end(self, found):
        assert found.is_own_end
        # The midnight of Berlin after the last order, and not today's.
        assert found.as_of_on == date(2023, 10, 8)
        assert found.as_of == datetime(2023, 10, 7, 22, 0)

    def test_span_customers_and_shares(self, found):
        lines = found.facts.lines
        assert (lines.first_on, lines.last_on, lines.n_days) == (date(2023, 1, 2), date(2023, 10, 7), 279)
        assert (lines.n_customers, lines.repeat.value) == (60, 1.0)
        assert lines.n_gap_days == 0, "Sundays are closed, so none of them is missing"
        assert lines.n_open_days == 240
        assert (lines.anonymous.value, lines.anonymous.n_rows) == (1 / 3_602, 3_602)
        assert lines.sales_cents == 60 * 40 * 250 + 60 * 20 * 150
        assert lines.returns_share == pytest.approx(250 / (lines.sales_cents + 250))
        assert lines.top_tenth_share == pytest.approx(0.1, abs=0.001)
        assert lines.late is None, "nothing says when a line became known"
        assert sum(one.n_lines for one in lines.months) == 3_602
        assert [one.n_new_customers for one in lines.months] == [60, *[0] * 9]
        assert dict(lines.purchases)["21 to 50"] == 60

    def test_baskets(self, found):
        baskets = found.facts.baskets
        assert (baskets.kind, baskets.n_items, baskets.n_customers) == ("category", 2, 60)
        assert baskets.n_baskets == 60 * 40 + 1
        assert baskets.several.value == 60 * 20 / baskets.n_baskets
        assert (baskets.n_frequent_items, baskets.n_frequent_pairs) == (2, 1)

    def test_completeness_of_each_delivered_column(self, found):
        table = {one.name: one for one in found.facts.tables}["transactions"]
        missing = {one.name: one.missing.value for one in table.columns}
        assert missing["customer_id"] == 1 / 3_602
        assert missing["order_id"] == 0
        assert {"channel", "coupon_cents"} <= set(table.absent)

    def test_consent_that_nobody_gave_is_not_assumed(self, found):
        assert [(one.purpose, one.share) for one in found.facts.contactable] == [
            ("marketing", None),
            ("profiling", None),
        ]

    def test_nothing_is_written(self, tmp_path):
        settings = shop(tmp_path / "shop", weekly(5, 10))
        before = sorted(tmp_path.rglob("*"))
        check(settings)
        assert sorted(tmp_path.rglob("*")) == before

    def test_an_earlier_day_hides_what_came_later(self, tmp_path):
        settings = shop(tmp_path / "shop", weekly(30, 40))
        found = check(settings, datetime(2023, 4, 30, 22, 0))
        assert not found.is_own_end
        assert found.facts.lines.last_on < date(2023, 5, 1)
        assert found.facts.lines.n_orders == 30 * 17

    def test_a_date_in_the_far_future_does_not_move_the_end(self, tmp_path):
        settings = shop(tmp_path / "shop", [*weekly(30, 40), "T1,C1,bread,2923-01-01 10:00:00,1,2.50,bakery"])
        found = check(settings)
        assert found.as_of_on == date(2023, 10, 8)
        table = {one.name: one for one in found.facts.tables}["transactions"]
        assert [one.name for one in table.reasons] == ["event in the future"]


class TestChurn:
    def test_base_rates_are_those_of_the_world(self, tmp_path):
        """A third stops after 30 of 40 weeks: nobody of them buys in the last horizons."""
        found = check(shop(tmp_path / "shop", weekly(90, 40, leaves_after=34), "[churn]\nhorizon_days = 28\n"))
        churn = found.facts.churn
        assert (churn.horizon_days, churn.is_set) == (28, True)
        by_horizon = {one.horizon_days: one for one in churn.by_horizon}
        assert (by_horizon[28].n_eligible, by_horizon[28].n_churned) == (90, 30)
        assert by_horizon[56].n_churned == 0
        judged = churn.by_date[-1]
        monday = found.as_of_on - timedelta(found.as_of_on.weekday())
        assert (judged.n_churned, judged.observed_on) == (30, monday - timedelta(28))
        assert [one.n_churned for one in churn.by_date[:-1]] == [0] * churn.n_training_dates

    def test_the_gaps_choose_the_horizon_where_nobody_does(self, tmp_path):
        churn = check(shop(tmp_path / "shop", weekly(60, 40))).facts.churn
        assert (churn.horizon_days, churn.is_set, churn.is_capped) == (7, False, False)
        assert "7 days" in churn.sentence

    def test_a_few_weeks_are_too_short_and_said_so(self, tmp_path):
        found = check(shop(tmp_path / "shop", weekly(60, 4)))
        assert found.facts.churn.horizon_days is None
        assert words(found)["churn"] == "no"
        assert "days of history" in {one.question: one for one in found.answers}["churn"].why

    def test_customers_who_never_return(self, tmp_path):
        rows = [f"O{n},C{n},bread,{date(2023, 1, 1) + timedelta(n)} 10:00:00,1,2.50,bakery" for n in range(300)]
        found = check(shop(tmp_path / "shop", rows))
        assert "no customer has bought twice" in found.facts.churn.problem
        assert words(found) == dict.fromkeys(("churn", "value", "rules", "offers", "uplift"), "no")

    def test_only_anonymous_sales(self, tmp_path):
        rows = [row.replace(f",C{row.split(',')[1][1:]},", ",,") for row in weekly(20, 30)]
        found = check(shop(tmp_path / "shop", rows))
        assert found.facts.lines.anonymous.value == 1
        assert (found.facts.lines.n_customers, found.facts.baskets.n_customers) == (0, 0)
        assert words(found)["churn"] == words(found)["offers"] == "no"


class TestBroken:
    def test_too_many_bad_rows_are_a_finding_and_the_rest_goes_on(self, tmp_path):
        rows = weekly(60, 40)
        bad = [row.replace(",1,2.50,", ",none,2.50,") for row in rows[:400]]
        found = check(shop(tmp_path / "shop", bad + rows[400:]))
        table = {one.name: one for one in found.facts.tables}["transactions"]
        assert "a night would stop here: 7.8% of the rows are rejected" in table.problem
        assert found.facts.lines.n_lines == table.n_accepted == len(rows) - 280

    def test_one_table_that_cannot_be_read_leaves_the_others(self, tmp_path):
        more = '[sources.customers]\npath = "customers.csv"\ncolumns = { customer_id = "id" }\n'
        settings = shop(tmp_path / "shop", weekly(60, 40), more)
        (tmp_path / "shop" / "customers.csv").write_text("id\n")
        found = check(settings)
        tables = {one.name: one for one in found.facts.tables}
        assert "no rows in" in tables["customers"].problem
        assert not tables["customers"].is_accepted
        assert tables["transactions"].problem is None
        assert found.facts.lines.n_customers == 60

    def test_lines_that_cannot_be_read_leave_the_label(self, tmp_path):
        more = '[sources.customers]\npath = "customers.csv"\ncolumns = { customer_id = "id" }\n'
        more += 'numbers = ["tenure"]\nlabel = { column = "left", churned = ["yes"], kept = ["no"] }\n'
        settings = shop(tmp_path / "shop", [], more)
        rows = [f"C{n},{n % 50},{'yes' if n % 4 == 0 else 'no'}" for n in range(800)]
        (tmp_path / "shop" / "customers.csv").write_text("\n".join(["id,tenure,left", *rows]))
        found = check(settings)
        assert "no rows in" in {one.name: one for one in found.facts.tables}["transactions"].problem
        assert found.facts.lines is None
        assert (found.facts.label.column, found.facts.label.share.value) == ("left", 0.25)
        assert words(found)["churn"] == "yes"

    def test_a_file_that_is_not_there_is_the_users_to_mend(self, tmp_path):
        settings = shop(tmp_path / "shop", weekly(2, 2))
        (tmp_path / "shop" / "orders.csv").unlink()
        with pytest.raises(ConfigError, match="no file"):
            check(settings)


class TestFlat:
    def test_a_label_with_a_column_written_afterwards(self, tmp_path):
        (tmp_path / "c.csv").write_text(
            "\n".join(
                ["id,calls,spend,left"]
                + [f"{n},{'' if n % 5 else n % 3},{n % 97},{'Y' if n % 5 == 0 else 'N'}" for n in range(1_000)]
            )
        )
        (tmp_path / "regulars.toml").write_text(
            '[sources.customers]\npath = "c.csv"\ncolumns = { customer_id = "id" }\nnumbers = ["calls", "spend"]\n'
            'label = { column = "left", churned = ["Y"], kept = ["N"] }\n'
        )
        label = check(Settings.read(tmp_path / "regulars.toml")).facts.label
        power = {one.name: one for one in label.columns}
        assert power["calls"].auc > 0.95, "whoever has no call has not left"
        assert power["calls"].missing.value == 0.8
        assert power["spend"].auc < 0.6
        assert "has_churned" not in power

    def test_a_trial_with_arms_and_outcome(self, tmp_path):
        arms = ("none", "mail")
        rows = [f"{n},{arms[n % 2]},{int(n % 10 == 0)},{n % 7},{(n * 7) % 11}" for n in range(4_000)]
        (tmp_path / "t.csv").write_text("\n".join(["id,arm,visit,spend,before", *rows]))
        (tmp_path / "regulars.toml").write_text(
            '[sources.trials]\npath = "t.csv"\ncolumns = { customer_id = "id", arm = "arm", outcome = "visit" }\n'
            'money.spend_cents = { column = "spend" }\nvalues.arm = { none = "control" }\n'
            'constants = { trial_id = "autumn" }\nnumbers = ["before"]\n'
        )
        found = check(Settings.read(tmp_path / "regulars.toml"))
        (trial,) = found.facts.trials
        assert (trial.arms, trial.has_control) == ((("control", 2_000), ("mail", 2_000)), True)
        assert (trial.n_treated, trial.n_control, trial.n_covariates) == (2_000, 2_000, 1)
        assert trial.ratio_p_value == 1.0
        assert {one.outcome: one.kind for one in trial.detectable} == {"outcome": "share", "spend": "cents"}
        assert trial.propensity_auc == pytest.approx(0.5, abs=0.05)
        assert words(found)["uplift"] == "yes"
        assert words(found)["churn"] == "no"


def test_campaigns_of_a_simulated_shop(shop_settings):
    found = check(shop_settings)
    (trial,) = found.facts.trials
    assert trial.is_randomised
    assert trial.has_control
    assert trial.propensity_auc == pytest.approx(0.5, abs=0.1)
    assert (found.facts.n_campaigns, {one.kind for one in trial.detectable}) == (1, {"cents", "share"})
    table = {one.name: one for one in found.facts.tables}["contacts"]
    assert [(one.name, one.n_rows) for one in table.reasons] == [("orphan customer", 1)]


def test_statements_of_consent_count_at_the_end_of_the_data(tmp_path):
    more = '[sources.consents]\npath = "consents.csv"\n'
    more += 'columns = { customer_id = "id", purpose = "for", is_granted = "ok", event_time = "at" }\n'
    settings = shop(tmp_path / "shop", weekly(10, 10), more)
    said = [f"C{n},marketing,yes,2023-01-02 00:00:00" for n in range(6)]
    said += ["C0,marketing,no,2023-02-01 00:00:00", "C9,marketing,yes,2023-12-01 00:00:00"]
    (tmp_path / "shop" / "consents.csv").write_text("\n".join(["id,for,ok,at", *said]))
    marketing, profiling = check(settings).facts.contactable
    assert (marketing.share.value, marketing.source) == (0.5, "customers' own statements")
    assert profiling.share.value == 0


@pytest.fixture
def shop_settings(nights, shop_folder, tmp_path) -> Settings:
    (tmp_path / "regulars.toml").write_text(
        f"[company]\ncurrency = 'EUR'\n[source]\nkind = 'parquet'\npath = '{shop_folder}'\n"
    )
    return Settings.read(tmp_path / "regulars.toml")


@pytest.fixture
def shop_folder(request: pytest.FixtureRequest) -> Path:
    """Return the raw files of the simulated shop that whole nights run on."""
    return Path(request.getfixturevalue("shop"))


class TestCommand:
    @pytest.fixture
    def run(self) -> CliRunner:
        return CliRunner()

    @pytest.fixture
    def app(self) -> typer.Typer:
        made = typer.Typer()
        made.command()(command)
        return made

    def test_the_page_is_all_that_is_written(self, app, run, tmp_path):
        shop(tmp_path / "shop", weekly(30, 40))
        before = set(tmp_path.rglob("*"))
        ended = run.invoke(app, ["--config", str(tmp_path / "shop" / "regulars.toml")])
        assert ended.exit_code == 0, ended.output
        assert "Who is about to leave?" in ended.output
        assert "Corner shop" in ended.output
        page = tmp_path / "shop" / "var" / "readiness" / "2023-10-08.html"
        assert page in set(tmp_path.rglob("*"))
        assert {path for path in set(tmp_path.rglob("*")) - before if path.is_file()} == {page}
        assert page.parent.stat().st_mode & 0o077 == 0

    def test_json_has_the_same_numbers(self, app, run, tmp_path):
        settings = shop(tmp_path / "shop", weekly(30, 40))
        html = tmp_path / "there" / "r.html"
        config = str(tmp_path / "shop" / "regulars.toml")
        ended = run.invoke(app, ["--config", config, "--json", "--html", str(html)])
        told = json.loads(ended.output)
        assert told == plain(check(settings)) | {"html": str(html)}
        assert told["facts"]["lines"]["n_customers"] == 30
        assert html.exists()

    def test_another_day_can_be_asked_for(self, app, run, tmp_path):
        shop(tmp_path / "shop", weekly(30, 40))
        config = str(tmp_path / "shop" / "regulars.toml")
        ended = run.invoke(app, ["--config", config, "--as-of", "2023-05-01", "--json"])
        assert json.loads(ended.output)["as_of_on"] == "2023-05-01"


def test_gaps_of_a_shop_that_is_closed_on_weekends():
    days = [date(2024, 1, 1) + timedelta(n) for n in range(70)]
    open_days = [day for day in days if day.weekday() < 5 and not date(2024, 1, 18) <= day <= date(2024, 1, 23)]
    (gap,) = gaps(open_days)
    # Thursday to Tuesday over a weekend: four working days.
    assert (gap.first_on, gap.last_on, gap.n_days) == (date(2024, 1, 18), date(2024, 1, 23), 4)
    assert list(gaps([date(2024, 1, 1)])) == []


PUBLISHED = """
[company]
timezone = "America/New_York"
currency = "USD"
[sources.transactions]
path = "{folder}/cdnow/CDNOW_master.txt.gz"
columns = {{ order_id = ["customer", "date"], customer_id = "customer", event_time = "date", quantity = "cds" }}
money.amount_cents = {{ column = "dollars" }}
constants = {{ product_id = "CD", currency = "USD" }}
date_format = "%Y%m%d"
timezone = "America/New_York"
skip_lines = 1
fields = {{ customer = [2, 6], date = [8, 15], cds = [16, 18], dollars = [19, 26] }}
"""


@pytest.mark.slow
def test_cdnow_has_its_published_counts(test_data, tmp_path):
    (tmp_path / "regulars.toml").write_text(PUBLISHED.format(folder=test_data.resolve()))
    found = check(Settings.read(tmp_path / "regulars.toml"))
    lines = found.facts.lines
    assert (lines.n_customers, lines.first_on, lines.last_on) == (23_570, date(1997, 1, 1), date(1998, 6, 30))
    assert sum(one.n_new_customers for one in lines.months[:3]) == 23_570, "all of them first bought in three months"
    assert {one.name: one.rows_cents for one in found.facts.tables}["transactions"] == 250_031_563
    assert words(found) == {
        "churn": "with care",
        "value": "with care",
        "rules": "no",
        "offers": "no",
        "uplift": "no",
    }


@pytest.mark.slow
def test_the_leak_of_bank_marketing_is_named(test_data, tmp_path):
    (tmp_path / "regulars.toml").write_text(
        f'[sources.customers]\npath = "{test_data.resolve()}/bank_marketing/bank-additional-full.csv.gz"\n'
        'delimiter = ";"\ncolumns = { customer_id = "$row" }\nnumbers = ["age", "duration", "euribor3m"]\n'
        'attributes = ["job", "poutcome"]\nlabel = { column = "y", churned = ["yes"], kept = ["no"] }\n'
    )
    found = check(Settings.read(tmp_path / "regulars.toml"))
    assert found.facts.label.share.value == 4_640 / 41_188
    churn = found.answers[0]
    assert (churn.word, "“duration”" in churn.why) == ("with care", True)
