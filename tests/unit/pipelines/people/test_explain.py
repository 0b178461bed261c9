"""``regulars explain``: what is said of one customer, of whom it is said, and of whom it never is."""

import json
import os
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from data.errors import LakeError
from data.lake import Lake
from data.pseudonyms import pseudonym
from data.tombstones import bury
from pipelines.commands.explain import explain
from pipelines.person import NoSuchCustomerError, nearest
from pipelines.portrait import portrait
from pipelines.report.document import plain
from pipelines.report.portrait import portrait_page
from pipelines.report.portrait_summary import lines

AS_OF = datetime(2024, 1, 1) + timedelta(days=240)


def said(settings, customer):
    return "\n".join(lines(portrait(settings, customer)))


def statement(customer, purpose, *, is_granted):
    row = {"customer_id": customer, "purpose": purpose, "is_granted": is_granted}
    # Said after the night: it counts from the moment that it is known.
    row |= {"event_time": AS_OF + timedelta(days=1), "known_at": AS_OF + timedelta(days=1)}
    schema = [("customer_id", pa.string()), ("purpose", pa.string()), ("is_granted", pa.bool_())]
    schema += [("event_time", pa.timestamp("us")), ("known_at", pa.timestamp("us"))]
    return pa.Table.from_pylist([row], pa.schema(schema))


class TestFeatures:
    def test_a_value_stands_where_counting_puts_it(self, settings, made):
        customer = made.customer_ids[4]
        found = portrait(settings, customer)
        frame = made.tables["observations"].to_pandas().set_index("customer_id")
        scores = made.tables["scores"].to_pandas().set_index("customer_id")
        state = scores.loc[customer, "lifecycle_state"]
        others = frame[(scores["lifecycle_state"] == state) & (frame.index != customer)]
        assert (found.segment.kind, found.segment.name, found.segment.n_others) == (
            "lifecycle state",
            state,
            len(others),
        )
        for one in found.features:
            column = others[one.name].dropna().astype(float)
            value = frame.loc[customer, one.name]
            if len(column) < 8 or np.isnan(value):
                assert np.isnan(one.place)
                continue
            assert one.typical == pytest.approx(column.median())
            assert one.share_below == pytest.approx((column < value).mean())
            assert one.share_above == pytest.approx((column > value).mean())
            assert one.n_others == len(column)

    def test_the_company_s_own_segment_comes_first(self, publish, made):
        customers = made.tables["customers"]
        segment = ["gold" if place < 20 else None for place in range(customers.num_rows)]
        place = customers.column_names.index("segment")
        customers = customers.set_column(place, "segment", pa.array(segment, pa.string()))
        first = sorted(set(customers["customer_id"].to_pylist()[:20]) & set(made.customer_ids))
        found = portrait(publish(customers=customers), first[0])
        assert (found.segment.kind, found.segment.name) == ("segment", "gold")
        assert found.segment.n_others == len(first) - 1
        assert "segment “gold”" in "\n".join(lines(found))

    def test_a_segment_of_few_gives_way_to_all_customers(self, publish, made):
        scores = made.tables["scores"].to_pandas()
        scores["lifecycle_state"] = ["rare"] * 5 + ["active"] * (len(scores) - 5)
        table = pa.Table.from_pandas(scores, made.tables["scores"].schema, preserve_index=False)
        found = portrait(publish(scores=table), made.customer_ids[0])
        assert (found.segment.words, found.segment.n_others) == ("all customers", len(made.customer_ids) - 1)

    def test_what_stands_out_most_comes_first_and_says_what_others_do(self, settings, made):
        found = portrait(settings, made.customer_ids[3])
        distances = [one.standing.distance for one in found.sayings if not np.isnan(one.standing.place)]
        assert distances == sorted(distances, reverse=True)
        recency = next(one for one in found.sayings if one.standing.name == "recency_days")
        assert re.search(r"last visit .+ ago, usually every .+; others .+ days?$", recency.words)


class TestHistory:
    def test_it_ends_where_the_night_s_knowledge_ends(self, settings, made):
        first = made.customer_ids[0]
        found = portrait(settings, first).history
        told = [(one.kind, one.words) for one in found.events if one.kind != "campaign"]
        assert told == [
            ("contract", "plus begins"),
            ("complaint", "complaint, about delivery, rated 2 of 5, open"),
        ], "what was resolved, said, known or ended later is not known yet"

    def test_orders_and_money_are_those_of_the_lines(self, settings, made):
        customer = made.customer_ids[2]
        lines_of = made.tables["transactions"].to_pandas()
        mine = lines_of[(lines_of["customer_id"] == customer) & (lines_of["known_at"] < AS_OF)]
        found = portrait(settings, customer).history
        assert sum(one.amount_cents for one in found.orders) == mine["amount_cents"].sum()
        assert len(found.orders) == mine["order_id"].nunique()
        assert sum(one.spend_cents for one in found.months) == mine["amount_cents"].sum()
        assert sum(one.n_orders for one in found.months) == sum(one.is_purchase for one in found.orders)
        assert found.months[-1].month == date(2024, 8, 1)

    def test_no_free_text_of_a_customer_is_told(self, settings, made):
        found = portrait(settings, made.customer_ids[0])
        for text in ("\n".join(lines(found)), portrait_page(found), json.dumps(plain(found))):
            assert "Elm Street" not in text

    def test_campaigns_that_reached_them_are_told_by_name(self, settings, made):
        contacts = made.tables["contacts"].to_pandas()
        reached = contacts[contacts["contacted_at"].notna() & contacts["customer_id"].isin(made.customer_ids)]
        name = made.tables["campaigns"]["name"].to_pylist()[0]
        assert f"campaign: {name}" in said(settings, reached["customer_id"].iloc[0])


class TestWho:
    def test_an_id_that_was_merged_leads_to_its_person(self, publish, made):
        a, b = made.customer_ids[:2]
        settings = publish(merged=((a, b),))
        # The night knew the person by one id alone.
        found = portrait(settings, b)
        assert found.person.ids == (a, b)
        assert found.person.customer_id == portrait(settings, a).person.customer_id
        lines_of = made.tables["transactions"].to_pandas()
        both = lines_of[lines_of["customer_id"].isin([a, b]) & (lines_of["known_at"] < AS_OF)]
        assert len(found.history.orders) == both["order_id"].nunique()
        other = b if found.person.customer_id == a else a
        assert f"Also known as {other}" in "\n".join(lines(found))

    def test_an_unknown_id_is_one_line_that_names_the_nearest(self, settings, made):
        known = made.customer_ids[7]
        with pytest.raises(NoSuchCustomerError) as caught:
            portrait(settings, f"{known}x")
        told = str(caught.value)
        assert f"such as {known}" in told
        assert "\n" not in told
        assert caught.value.exit_code == 14

    def test_nobody_is_near_to_something_else(self, settings):
        with pytest.raises(NoSuchCustomerError) as caught:
            portrait(settings, "日本")
        assert "such as" not in str(caught.value)

    def test_ids_that_would_break_the_line_are_not_named(self):
        assert nearest("ab", {"ab\n", "ac"}) == ["ac"]

    def test_an_erased_customer_is_unknown_even_before_the_rows_are_gone(self, publish, made):
        settings = publish()
        gone, other = made.customer_ids[5], made.customer_ids[6]
        bury(settings.root, [gone])
        with pytest.raises(NoSuchCustomerError) as caught:
            portrait(settings, gone)
        assert gone not in str(caught.value).replace("such as", "").split(", ")
        assert portrait(settings, other).person.customer_id == other

    def test_with_pseudonyms_the_company_s_own_id_is_asked_for(self, publish, made, monkeypatch):
        key = bytes(range(32))
        monkeypatch.setenv("REGULARS_TEST_KEY", key.hex())
        mine = made.customer_ids[0]
        names = {name: pseudonym(key, name) for name in made.customer_ids}

        def hide(table):
            ids = pa.array([names.get(one, one) for one in table["customer_id"].to_pylist()], pa.string())
            return table.set_column(table.column_names.index("customer_id"), "customer_id", ids)

        hidden = {name: hide(table) for name, table in made.tables.items() if "customer_id" in table.column_names}
        settings = publish(**hidden)
        privacy = settings.privacy.model_copy(update={"pseudonyms": True, "key_variable": "REGULARS_TEST_KEY"})
        settings = settings.model_copy(update={"privacy": privacy})
        assert portrait(settings, mine).person.customer_id == names[mine]
        with pytest.raises(NoSuchCustomerError) as caught:
            portrait(settings, f"{mine}x")
        assert "such as" not in str(caught.value), "a pseudonym near to another is no near customer"

    def test_who_is_on_the_list_and_never_bought_has_a_history_without_features(self, publish, made):
        customers = made.tables["customers"]
        row = dict.fromkeys(customers.column_names) | {"customer_id": "just-looking"}
        customers = pa.concat_tables([customers, pa.Table.from_pylist([row], customers.schema)])
        found = portrait(publish(customers=customers), "just-looking")
        assert (found.features, found.scores, found.segment, found.history.orders) == ((), None, None, ())
        assert "No purchase is known" in "\n".join(lines(found))
        assert "Nothing is on record" in portrait_page(found)

    def test_without_a_night_it_says_so(self, settings, tmp_path):
        with pytest.raises(LakeError, match="no published night"):
            portrait(settings.model_copy(update={"root": tmp_path / "elsewhere"}), "1")


class TestConsent:
    def test_who_objects_to_profiling_gets_no_score_and_no_comparison(self, publish, made):
        settings = publish()
        customer = made.customer_ids[0]
        lake = Lake(settings.lake_root)
        with lake.lock():
            lake.write("consents", statement(customer, "profiling", is_granted=False), as_of=None, fingerprint="g")
        found = portrait(settings, customer)
        assert (found.scores, found.offers, found.segment) == (None, (), None)
        assert found.action == {"action": "leave_alone", "arm": "action"}
        assert all(np.isnan(one.place) and np.isnan(one.typical) for one in found.features)
        assert len(found.history.orders) > 0, "what is on record stays theirs to see"
        for text in ("\n".join(lines(found)), portrait_page(found)):
            assert "object to profiling" in text
            assert "Chance of leaving" not in text
            assert "What to offer" not in text
            assert "likely to buy it" not in text
        assert portrait(settings, made.customer_ids[1]).action["action"] == "leave_alone", (
            "who says nothing has not agreed"
        )

    def test_who_takes_back_marketing_keeps_scores_but_is_left_alone(self, publish, made):
        settings = publish()
        customer = made.customer_ids[0]
        lake = Lake(settings.lake_root)
        with lake.lock():
            lake.write("consents", statement(customer, "marketing", is_granted=False), as_of=None, fingerprint="g")
        found = portrait(settings, customer)
        assert found.scores is not None
        assert (found.action["action"], found.may_contact) == ("leave_alone", False)
        text = "\n".join(lines(found))
        assert "They may not be contacted now." in text
        assert "Retain" not in text

    def test_who_agrees_may_be_contacted(self, publish, made):
        settings = publish()
        customer = made.customer_ids[0]
        lake = Lake(settings.lake_root)
        with lake.lock():
            lake.write("consents", statement(customer, "marketing", is_granted=True), as_of=None, fingerprint="g")
        found = portrait(settings, customer)
        assert (found.action["action"], found.may_contact) == ("retain", True)

    def test_where_nobody_says_it_is_not_known(self, settings, made):
        assert portrait(settings, made.customer_ids[0]).may_contact is None


class TestMissing:
    def test_tables_that_a_night_does_not_have_are_said(self, publish, made):
        names = ("offers", "scores", "actions", "feedback", "subscriptions", "contacts", "campaigns", "products")
        found = portrait(publish(**dict.fromkeys((*names, "consents", "horizons"))), made.customer_ids[0])
        text, page = "\n".join(lines(found)), portrait_page(found)
        assert (found.scores, found.action, found.offers, found.history.categories) == (None, None, (), ())
        for name in ("offers", "scores", "actions"):
            assert f"This night has no table {name}." in text
            assert f"This night has no table {name}." in page
        assert "This night has no products, no contacts, no campaigns, no feedback, no subscriptions." in text
        assert "Nothing was decided" in text
        assert found.segment.words == "all customers"

    def test_a_night_of_an_earlier_version_has_fewer_features(self, publish, made):
        kept = made.tables["observations"].select(
            ["customer_id", "as_of", "recency_days", "gap_mean_days", "is_eligible"]
        )
        found = portrait(publish(observations=kept), made.customer_ids[0])
        assert [one.name for one in found.features] == ["gap_mean_days", "recency_days"]


class TestShown:
    def test_the_terminal_says_what_to_do_and_why(self, settings, made):
        text = said(
            settings.model_copy(
                update={"decisions": settings.decisions.model_copy(update={"assumed_consent": ("marketing",)})}
            ),
            made.customer_ids[3],
        )
        assert text.startswith(f"Customer {made.customer_ids[3]} · Shop ")
        assert re.search(r"Chance of leaving within 28 days \d+\.\d %", text)
        assert "Margin expected if they stay €50.00 (€10.00 to €90.00)" in text
        assert "away twice as long as usual" in text
        assert "Left alone on purpose" in text
        assert "1 cheese (12 % likely to buy it)" in text
        assert text.index("1 cheese") < text.index("2 milk")
        assert re.search(r"Aug 2024  █* *\S* +€[\d,.]+  \d+ orders?", text)

    def test_no_line_is_wider_than_the_terminal(self, settings, made):
        for customer in made.customer_ids[:5]:
            assert max(len(line) for line in lines(portrait(settings, customer))[2:]) <= 120

    def test_control_characters_do_not_reach_the_terminal(self, publish, made):
        offers = made.tables["offers"].to_pandas()
        offers["category"] = "a\x1b[2Jb\nc"
        table = pa.Table.from_pandas(offers, made.tables["offers"].schema, preserve_index=False)
        text = said(publish(offers=table), made.customer_ids[0])
        assert "\x1b" not in text
        assert "a?[2Jb?c" in text

    def test_the_page_runs_nothing_and_asks_for_nothing(self, settings, made):
        text = portrait_page(portrait(settings, made.customer_ids[0]))
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert not re.findall(r"(?:src|href)=\"(?!#|data:)", text)
        assert "default-src &#39;none&#39;" in text
        assert "script-src" not in text
        assert len(text) < 400_000

    def test_page_and_terminal_and_json_agree(self, settings, made):
        found = portrait(settings, made.customer_ids[1])
        told = plain(found)
        page = portrait_page(found)
        assert told["scores"]["value_at_risk_cents"] == found.scores["value_at_risk_cents"]
        for one in found.sayings:
            assert one.words.replace("'", "&#39;") in page
        unknown = [one for one in told["features"] if one["value"] is None]
        assert unknown
        assert "NaN" not in json.dumps(told)

    def test_the_same_night_gives_the_same_page(self, settings, made):
        pages = {portrait_page(portrait(settings, made.customer_ids[1])) for _ in range(2)}
        assert len(pages) == 1


class TestCommand:
    @pytest.fixture
    def run(self, settings, tmp_path: Path):
        app = typer.Typer()
        app.command()(explain)
        config = tmp_path / "regulars.toml"
        config.write_text(f'root = "{settings.root}"\n[company]\ntimezone = "UTC"\ncurrency_symbol = "€"\n')
        return lambda *words: CliRunner().invoke(app, ["--config", str(config), *words])

    def test_it_prints(self, run, made):
        done = run(made.customer_ids[0])
        assert done.exit_code == 0, done.output
        assert f"Customer {made.customer_ids[0]}" in done.output

    def test_a_script_reads_json(self, run, made):
        done = run(made.customer_ids[0], "--json")
        assert json.loads(done.output)["person"]["customer_id"] == made.customer_ids[0]

    def test_a_page_is_its_owner_s_alone(self, run, made, tmp_path):
        out = tmp_path / "pages" / "one.html"
        before = os.umask(0)
        try:
            done = run(made.customer_ids[0], "--html", str(out))
        finally:
            os.umask(before)
        assert done.exit_code == 0, done.output
        assert (out.stat().st_mode & 0o777, out.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert made.customer_ids[0] in out.read_text()
        assert made.customer_ids[0] not in done.output

    def test_an_unknown_customer_is_a_user_error(self, run):
        done = run("nobody-at-all")
        assert isinstance(done.exception, NoSuchCustomerError)
