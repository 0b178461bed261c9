"""What the data can answer: each doubt moves the answer to the word that it deserves, and says what to do."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.readiness import LEAK_AUC, Answer, answers, said
from models.readiness_facts import (
    BaseRate,
    BasketFacts,
    ChurnFacts,
    ColumnPower,
    Detectable,
    Facts,
    Gap,
    LabelFacts,
    LineFacts,
    Month,
    TableFacts,
    TrialFacts,
    share_of,
)
from models.screening import comparability, single_column_auc, smallest_effect

LINES = LineFacts(
    n_lines=200_000,
    n_orders=50_000,
    sales_cents=1_000_000_00,
    first_on=date(2024, 1, 1),
    last_on=date(2024, 12, 31),
    n_days=366,
    n_open_days=366,
    gaps=(),
    months=(Month(date(2024, 1, 1), 200_000, 1_000_000_00, 5_000),),
    late=None,
    returns_share=0.02,
    anonymous=share_of(2_000, 200_000),
    anonymous_money_share=0.01,
    unknown_product=share_of(0, 200_000),
    n_customers=5_000,
    repeat=share_of(4_000, 5_000),
    purchases=(("1", 1_000), ("2", 4_000)),
    top_tenth_share=0.4,
)


def rate(n_churned: int, n_eligible: int) -> BaseRate:
    return BaseRate(date(2024, 12, 3), 28, n_churned, share_of(n_churned, n_eligible))


CHURN = ChurnFacts(
    horizon_days=28,
    is_capped=False,
    sentence="28 days.",
    is_set=False,
    eligible_days=56,
    by_horizon=(rate(400, 3_000),),
    by_date=(rate(380, 2_900), rate(390, 2_950), rate(400, 3_000)),
    n_training_dates=2,
)
BASKETS = BasketFacts(
    "category", share_of(199_000, 200_000), 50_000, 60, 4.0, share_of(30_000, 50_000), 0.01, 40, 90, 5_000
)
TRIAL = TrialFacts(
    name="“Spring”",
    is_randomised=True,
    arms=(("mail", 5_000), ("control", 5_000)),
    has_control=True,
    n_treated=5_000,
    n_control=5_000,
    has_ended=True,
    largest_difference=0.02,
    n_imbalanced=0,
    n_covariates=5,
    propensity_auc=0.50,
    ratio_p_value=0.8,
    detectable=(Detectable("spend", "cents", 1_000.0, 55.0), Detectable("buys", "share", 0.2, 0.01)),
)
GOOD = Facts((TableFacts("transactions", 200_000),), LINES, CHURN, None, BASKETS, 1, 1, (TRIAL,))


def answer(facts: Facts, question: str) -> Answer:
    return {one.question: one for one in answers(facts)}[question]


def test_good_data_answer_everything_and_nothing_is_missing():
    found = answers(GOOD)
    assert [one.question for one in found] == ["churn", "value", "rules", "offers", "uplift"]
    assert {one.word for one in found} == {"yes"}
    assert all(one.missing == () and one.why.endswith(".") for one in found)


def test_no_data_answer_nothing_and_every_no_says_what_to_do():
    found = answers(Facts(()))
    assert {one.word for one in found} == {"no"}
    assert all(one.missing for one in found)


def test_the_reason_holds_the_numbers_with_their_interval():
    why = answer(GOOD, "churn").why
    assert "13.3% (12.2% to 14.6%) of 3,000 eligible customers" in why
    assert "2 dates" in why


@pytest.mark.parametrize(
    ("n_churned", "word"), [(0, "no"), (19, "no"), (20, "with care"), (99, "with care"), (100, "yes"), (2_900, "yes")]
)
def test_few_leavers_at_the_judging_date(n_churned, word):
    churn = replace(CHURN, by_date=(*CHURN.by_date[:-1], rate(n_churned, 3_000)))
    assert answer(replace(GOOD, churn=churn), "churn").word == word


def test_few_who_stay_are_as_bad_as_few_who_leave():
    churn = replace(CHURN, by_date=(*CHURN.by_date[:-1], rate(2_995, 3_000)))
    found = answer(replace(GOOD, churn=churn), "churn")
    assert found.word == "no"
    assert "5 customers stayed" in found.why


def test_too_short_a_history_names_the_days_that_are_needed():
    churn = replace(CHURN, by_date=(), n_training_dates=0)
    facts = replace(GOOD, churn=churn, lines=replace(LINES, n_days=100))
    for question in ("churn", "value"):
        found = answer(facts, question)
        assert found.word == "no"
        assert "100 days of history, where a horizon of 28 days needs 146" in found.why
        assert "older orders" in found.missing[0]
    assert answer(facts, "offers").word == "no"
    assert answer(facts, "rules").word == "yes", "baskets need no horizon"


def test_without_a_horizon_the_reason_is_passed_on():
    churn = replace(CHURN, horizon_days=None, by_date=(), n_training_dates=0, problem="no customer has bought twice")
    assert answer(replace(GOOD, churn=churn), "churn").why.startswith("No customer has bought twice")


@pytest.mark.parametrize(("is_set", "word"), [(False, "with care"), (True, "yes")])
def test_a_capped_horizon_is_a_caveat_unless_somebody_chose_it(is_set, word):
    churn = replace(CHURN, is_capped=True, is_set=is_set)
    assert answer(replace(GOOD, churn=churn), "churn").word == word


@pytest.mark.parametrize(
    ("changes", "questions", "said_of"),
    [
        ({"anonymous": share_of(60_000, 200_000)}, {"churn", "value", "offers"}, "have no customer"),
        ({"repeat": share_of(500, 5_000)}, {"churn", "value", "offers"}, "two days or more"),
        ({"gaps": (Gap(date(2024, 3, 1), date(2024, 3, 30), 30),)}, {"churn", "value"}, "30 days"),
        ({"top_tenth_share": 0.75}, {"value"}, "75% of the money"),
        ({"returns_share": 0.3}, {"value"}, "30% of the money"),
    ],
)
def test_each_weakness_of_the_lines_touches_the_questions_that_rest_on_it(changes, questions, said_of):
    facts = replace(GOOD, lines=replace(LINES, **changes))
    found = {one.question: one for one in answers(facts)}
    assert {name for name, one in found.items() if one.word == "with care"} == questions
    assert all(said_of in found[name].why for name in questions)
    assert {one.word for one in found.values()} == {"with care", "yes"}


def test_hardly_anybody_who_comes_back_is_a_no():
    """Six of five thousand: nobody's future can be told from their past."""
    facts = replace(GOOD, lines=replace(LINES, repeat=share_of(6, 5_000)))
    assert [one.word for one in answers(facts)] == ["no", "no", "yes", "no", "yes"]


def test_lines_without_money_have_no_value():
    found = answer(replace(GOOD, lines=replace(LINES, sales_cents=0)), "value")
    assert (found.word, found.missing) == ("no", ("Map money.amount_cents under [sources.transactions].",))


def test_two_causes_with_one_remedy_name_it_once():
    churn = replace(CHURN, is_capped=True, by_date=(*CHURN.by_date[:-1], rate(50, 3_000)))
    found = answer(replace(GOOD, churn=churn), "churn")
    assert len(found.missing) == len(set(found.missing)) == 1


class TestLabel:
    LABEL = LabelFacts("Churn", share_of(1_869, 7_043), 0, (ColumnPower("contract", 0.74, share_of(0, 7_043)),))

    def facts(self, **changes: object) -> Facts:
        return Facts((), label=replace(self.LABEL, **changes))

    def test_a_label_answers_who_leaves_without_any_line(self):
        found = answers(self.facts())
        assert [one.word for one in found] == ["yes", "no", "no", "no", "no"]
        assert "26.5%" in found[0].why

    @pytest.mark.parametrize(
        ("auc", "says"),
        [(0.82, "suspiciously well"), (LEAK_AUC, "gives the label away"), (0.999, "gives the label away")],
    )
    def test_a_column_that_knows_too_much_is_named(self, auc, says):
        found = answer(self.facts(columns=(ColumnPower("duration", auc, None),)), "churn")
        assert found.word == "with care"
        assert "“duration”" in found.why
        assert says in found.why
        assert "duration" in found.missing[0]

    def test_few_labels_and_missing_ones(self):
        assert answer(self.facts(share=share_of(10, 5_000)), "churn").word == "no"
        assert answer(self.facts(share=share_of(4_950, 5_000)), "churn").word == "with care"
        assert answer(self.facts(n_unlabelled=5_000), "churn").word == "with care"


class TestBaskets:
    @pytest.mark.parametrize(
        ("changes", "rules", "offers"),
        [
            ({"kind": "product"}, "with care", "with care"),
            ({"n_frequent_pairs": 0}, "no", "yes"),
            ({"n_frequent_pairs": 5}, "with care", "yes"),
            ({"n_baskets": 1_000}, "with care", "yes"),
            ({"n_baskets": 0}, "no", "yes"),
            ({"with_category": share_of(100_000, 200_000)}, "with care", "with care"),
            ({"n_items": 12}, "yes", "no"),
            ({"n_customers": 500}, "yes", "with care"),
            ({"n_customers": 50}, "yes", "no"),
            ({"n_customers": 0}, "yes", "no"),
        ],
    )
    def test_what_baskets_lack(self, changes, rules, offers):
        facts = replace(GOOD, baskets=replace(BASKETS, **changes))
        assert (answer(facts, "rules").word, answer(facts, "offers").word) == (rules, offers)

    def test_a_single_item_is_written_in_the_singular(self):
        facts = replace(GOOD, baskets=replace(BASKETS, n_items=1))
        assert "1 category," in answer(facts, "offers").why


class TestUplift:
    @pytest.mark.parametrize(
        ("changes", "word", "says"),
        [
            ({"n_control": 500}, "with care", "only 500 customers on its smaller side"),
            ({"n_control": 29}, "no", "only 29 customers"),
            ({"has_ended": False}, "no", "has not ended"),
            ({"has_control": False}, "no", "no control arm"),
            ({"ratio_p_value": 0.0001}, "with care", "not as large as declared"),
            ({"largest_difference": 0.3}, "with care", "differed before"),
            ({"propensity_auc": 0.7}, "with care", "AUC of 0.70"),
            ({"is_randomised": False}, "with care", "not randomised"),
            ({"is_randomised": None}, "with care", "nothing says that it was randomised"),
            ({"is_randomised": False, "propensity_auc": 0.9}, "no", "AUC of 0.90"),
            ({"is_randomised": False, "propensity_auc": None}, "no", "nothing known to compare"),
            ({"propensity_auc": None, "largest_difference": None}, "yes", "5,000 treated"),
        ],
    )
    def test_what_a_trial_lacks(self, changes, word, says):
        found = answer(replace(GOOD, trials=(replace(TRIAL, **changes),)), "uplift")
        assert found.word == word
        assert says in found.why
        assert found.why.startswith("“Spring”: ")

    def test_one_sound_trial_is_enough(self):
        chosen = replace(TRIAL, name="“Mailing”", is_randomised=False, propensity_auc=0.9, n_treated=90_000)
        assert answer(replace(GOOD, trials=(chosen, TRIAL)), "uplift").why.startswith("“Spring”")

    def test_what_could_be_found_is_in_the_unit_of_the_outcome(self):
        assert "0.55 a customer in spend or 1.00 points in buys" in answer(GOOD, "uplift").why

    def test_the_contact_list_grows_where_the_treated_are_few(self):
        found = answer(replace(GOOD, trials=(replace(TRIAL, n_treated=100),)), "uplift")
        assert found.missing == ("Contact more customers.",)


def test_a_share_of_nothing_is_unknown():
    assert share_of(0, 0) is None
    assert said(None) == "unknown"


def test_a_table_is_reconciled_in_rows_and_in_money():
    table = TableFacts("t", 10, 7, 2, 1, 100, 70, 20, 10, is_accepted=True)
    assert table.is_reconciled
    assert not replace(table, n_accepted=8).is_reconciled
    assert not replace(table, accepted_cents=71).is_reconciled
    assert not replace(table, is_accepted=False).is_reconciled


class TestScreening:
    RNG_SEED = 5

    def test_noise_ids_and_constants_say_nothing(self):
        rng = np.random.default_rng(self.RNG_SEED)
        y = rng.random(4_000) < 0.2
        for column in (
            pd.Series(rng.normal(size=4_000)),
            pd.Series([f"id {n}" for n in range(4_000)]),
            pd.Series(["same"] * 4_000),
        ):
            assert abs(single_column_auc(column, y) - 0.5) < 0.03

    def test_a_curve_counts_as_much_as_a_slope(self):
        rng = np.random.default_rng(self.RNG_SEED)
        x = rng.normal(size=4_000)
        assert single_column_auc(pd.Series(x), np.abs(x) > 1) > 0.9
        assert single_column_auc(pd.Series(-x), x > 1) > 0.95

    def test_being_missing_can_be_what_gives_it_away(self):
        y = np.arange(1_000) % 4 == 0
        column = pd.Series(np.where(y, np.nan, np.arange(1_000.0)))
        assert single_column_auc(column, y) > 0.99

    def test_the_smallest_effect_is_found_four_times_in_five(self):
        rng = np.random.default_rng(self.RNG_SEED)
        is_treated = np.arange(2_000) % 2 == 0
        noise = rng.normal(size=(800, 2_000))
        effect = smallest_effect(noise[0], is_treated)
        outcome = noise + effect * is_treated
        means = outcome[:, is_treated].mean(axis=1) - outcome[:, ~is_treated].mean(axis=1)
        error = np.sqrt(outcome[:, is_treated].var(axis=1) / 1_000 + outcome[:, ~is_treated].var(axis=1) / 1_000)
        assert 0.75 < (np.abs(means / error) > 1.96).mean() < 0.85

    def test_without_a_side_there_is_no_smallest_effect(self):
        assert np.isnan(smallest_effect(np.ones(10), np.ones(10, dtype=bool)))

    def test_sides_drawn_by_lot_cannot_be_told_apart_and_chosen_ones_can(self):
        rng = np.random.default_rng(self.RNG_SEED)
        before = pd.DataFrame({"spend": rng.gamma(2, 50, 3_000), "region": rng.choice(["n", "s"], 3_000)})
        drawn = comparability(before, rng.random(3_000) < 0.5, 1)
        chosen = comparability(before, (before["spend"] + rng.normal(0, 30, 3_000) > 100).to_numpy(), 1)
        assert drawn is not None
        assert chosen is not None
        assert drawn.propensity_auc < 0.55
        assert drawn.largest_difference < 0.1
        assert chosen.propensity_auc > 0.9
        assert chosen.n_imbalanced >= 1

    def test_a_side_of_nine_is_too_small_to_say(self):
        before = pd.DataFrame({"spend": np.arange(100.0)})
        assert comparability(before, np.arange(100) < 9, 1) is None


def test_amounts_below_nothing_are_told_from_no_money_and_name_the_setting_that_turns_them():
    turned = answer(replace(GOOD, lines=replace(LINES, sales_cents=-5)), "value")
    absent = answer(replace(GOOD, lines=replace(LINES, sales_cents=0)), "value")
    assert (turned.word, absent.word) == ("no", "no")
    assert "less than nothing" in turned.why
    assert "negated = true" in turned.missing[0]
    assert "carry no money" in absent.why


def test_subscriptions_alone_are_counted_where_they_are_not_learnt_from():
    facts = Facts((TableFacts("subscriptions", 900, n_accepted=870),))
    assert "870 subscriptions alone" in answer(facts, "churn").why
    assert "subscriptions" not in answer(Facts(()), "churn").why
