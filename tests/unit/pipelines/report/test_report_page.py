"""The page: complete, self-contained, traceable, and deaf to hostile data."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from pipelines.report import facts
from pipelines.report.document import with_terms
from pipelines.report.night import Night
from pipelines.report.page import page
from pipelines.report.words import GLOSSARY

Change = Callable[..., Night]
HOSTILE = "<script>alert('x')</script>\"onload=\"x"
_VOID = {"meta", "link", "input", "br", "hr", "img"}


class Outline(HTMLParser):
    """Keeps tags, attributes and text, and fails where tags do not balance."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def words(self) -> str:
        return " ".join(text for tag, text in self.texts if tag not in {"style", "script"})


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def html(night: Night) -> str:
    return page(night)


@pytest.fixture(scope="module")
def seen(html: str) -> Outline:
    return outline(html)


def test_tags_balance_and_ids_are_unique(seen: Outline) -> None:
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_reference_on_the_page_leads_somewhere(seen: Outline) -> None:
    ids = {attributes.get("id") for _, attributes in seen.tags}
    for _, attributes in seen.tags:
        assert set((attributes.get("aria-labelledby") or "").split()) <= ids
        if (target := attributes.get("href") or "").startswith("#"):
            assert target[1:] in ids


def test_sections_come_in_the_managers_order(seen: Outline) -> None:
    keys = [
        attributes["id"] for tag, attributes in seen.tags if tag == "section" and attributes.get("class") == "chapter"
    ]
    asked = ["whom", "portfolio", "leaving", "trust", "together", "campaigns"]
    assert keys == [*asked, "decisions", "quality", "trace", "glossary"]


def test_the_page_asks_the_network_for_nothing(html: str, seen: Outline) -> None:
    policy = next(a["content"] for _, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|//[a-z]|url\(|@import|\bsrc=", html)
    assert {a.get("href", "#")[:5] for tag, a in seen.tags if tag in {"a", "link"}} - {"data:"} <= {
        (a.get("href") or "")[:5] for tag, a in seen.tags if tag == "a"
    }


@pytest.mark.parametrize("tag", ["style", "script"])
def test_the_policy_admits_exactly_our_own_style_and_script(html: str, tag: str) -> None:
    blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
    assert re.findall(rf"{tag}-src &#39;sha256-(.*?)&#39;", html) == digests
    assert len(digests) == 1


def test_no_inline_style_or_handler_that_the_policy_would_block(seen: Outline) -> None:
    assert not [name for _, attributes in seen.tags for name in attributes if name == "style" or name.startswith("on")]


def test_the_same_night_gives_the_same_bytes(night: Night, html: str) -> None:
    assert page(night) == html


def test_a_night_of_2469_customers_fits(night: Night, html: str) -> None:
    assert len(night.scores) == 2469
    assert len(html.encode()) < 500_000
    everyone = night.actions.assign(action="retain", arm="action", priority=range(1, 2470))
    assert len(page(replace(night, actions=everyone)).encode()) < 1_500_000


def test_every_contact_is_listed_and_nobody_else(night: Night, html: str) -> None:
    body = html.split('<table id="contacts"')[1].split("</table>", maxsplit=1)[0]
    rows = [outline(f"<table>{row}</table>") for row in re.findall(r"<tr>.*?</tr>", body.split("<tbody>")[1])]
    listed = [[text for tag, text in row.texts if tag == "span"][1] for row in rows]
    assert listed == list(facts.contacts(night)["customer_id"])


def test_beyond_a_thousand_contacts_the_page_points_to_the_workbook(night: Night) -> None:
    everyone = night.actions.assign(action="retain", arm="action", priority=range(1, 2470))
    assert "The 1,469 contacts of lowest priority are in actions.xlsx." in page(replace(night, actions=everyone))


def test_headline_says_what_to_do_why_and_what_to_know(night: Night, seen: Outline) -> None:
    n = len(facts.contacts(night))
    for words in (
        f"Contact {n} customers tomorrow",
        "As of 1 January 2018, Complete Journey (demo) has 2,469 customers.",
        "because they may leave",
        "49 rows are in",
        "no row and no cent is lost",
        "31 of 412 candidate rules survived",
        "Models refused: offers.",
    ):
        assert words in seen.words


def test_each_section_names_the_versions_of_its_tables(seen: Outline) -> None:
    for source in (
        "actions@6",
        "scores@2",
        "rules@3 · offers@4",
        "campaign_verdicts@5",
        "model_decisions@7",
        "quality@8",
    ):
        assert source in seen.words
    for identity in ("9f31c07be2d4a611", "c0ffee12", "6f1e0c2b9d7a4e35", "2018-01-01 05:00:00"):
        assert identity in seen.words


def test_stages_are_timed_only_where_the_night_was_run(night: Night, seen: Outline) -> None:
    assert "Where 46.9 seconds went" in seen.words
    assert "seconds went" not in page(replace(night, stage_seconds=None))


def test_assumption_and_horizon_are_stated(seen: Outline) -> None:
    assert "a margin of 25 % of sales, 60 cents a contact" in seen.words
    assert "95 of 100 pauses between purchases are shorter" in seen.words


def test_campaigns_that_were_chosen_by_hand_are_called_so(seen: Outline) -> None:
    assert "not " in seen.words
    assert "somebody chose whom to contact" in seen.words
    assert "Of 3 campaigns, none is shown to have worked." in seen.words
    assert "plain $135" in seen.words
    assert "placebo $135 ($116 to $154)" in seen.words


def test_only_a_randomised_campaign_is_given_an_effect(night: Night, changed: Change) -> None:
    by_lot = changed("campaign_verdicts", is_randomised=True, verdict="works")
    words = outline(page(by_lot)).words
    assert "2 of them were not " in words
    assert "1 campaign randomised" in words.replace("  ", " ") or "1 campaign  randomised" in words
    assert "1 of 3 campaigns clearly worked." in words


def test_rules_that_did_not_hold_again_are_no_finding(night: Night) -> None:
    none = replace(night, rules=night.rules.assign(is_confirmed=False))
    words = outline(page(none)).words
    assert "No rule survived" in words
    assert "times as often as chance" not in words


def test_small_effects_are_shown_to_the_cent(night: Night) -> None:
    cents = {name: 15 for name in night.campaign_verdicts.columns if name.endswith("_cents")}
    words = outline(page(replace(night, campaign_verdicts=night.campaign_verdicts.assign(**cents)))).words
    assert "adjusted $0.15 ($0.15 to $0.15)" in words


def test_a_paired_difference_decides_which_offers_are_better(night: Night) -> None:
    assert "“What goes with past purchases” found more of the later purchases than “What sells most”." in page(night)
    unclear = night.offer_quality.assign(low=-1.0)
    assert "are not clearly different" in page(replace(night, offer_quality=unclear))


def test_without_a_paired_difference_overlapping_offers_are_not_ranked(night: Night) -> None:
    unpaired = night.offer_quality[~night.offer_quality["method"].str.contains(" minus ")]
    assert "are not clearly different" in page(replace(night, offer_quality=unpaired))


def test_unreconciled_rows_are_said_first(changed: Change) -> None:
    words = outline(page(changed("reconciliation", n_accepted=1))).words
    assert "do not add up tonight" in words
    assert "no cent is lost" not in words


def test_a_critical_failure_is_on_the_first_screen(changed: Change) -> None:
    words = outline(page(changed("quality", severity="critical"))).words
    assert "1 critical expectation failed" in words.split("Whom to contact tomorrow")[-2] + words


@pytest.mark.parametrize(
    ("frame", "column"),
    [
        ("actions", "customer_id"),
        ("actions", "category"),
        ("actions", "reasons"),
        ("actions", "owner"),
        ("rules", "antecedents"),
        ("offers", "category"),
        ("campaign_verdicts", "name"),
        ("campaign_verdicts", "words"),
        ("campaign_verdicts", "verdict"),
        ("model_decisions", "reason"),
        ("model_decisions", "model"),
        ("quality", "expectation"),
        ("quality", "detail"),
        ("reconciliation", "table_name"),
        ("scores", "lifecycle_state"),
        ("offer_quality", "method"),
        ("metrics", "model"),
    ],
)
def test_hostile_text_stays_text(small_night: Night, frame: str, column: str) -> None:
    table = getattr(small_night, frame)
    forced = {"action": "retain", "arm": "action"} if frame == "actions" else {}
    forced |= {"is_confirmed": True} if frame == "rules" else {}
    forced |= {"is_passed": False} if frame == "quality" else {}
    hostile = replace(small_night, **{frame: table.assign(**forced, **{column: HOSTILE}).head(30)})
    found = outline(page(hostile))
    assert HOSTILE in found.words
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_hostile_settings_and_sentences_stay_text(night: Night) -> None:
    texts = dict.fromkeys(night.texts, HOSTILE)
    hostile = replace(night, company=HOSTILE, currency=HOSTILE, texts=texts, versions={HOSTILE: 1}, run_key=HOSTILE)
    found = outline(page(hostile))
    assert sum(tag == "script" for tag, _ in found.tags) == 1


def test_a_night_without_anything_still_makes_a_page(empty_night: Night) -> None:
    words = outline(page(empty_night)).words
    assert "Nobody needs to be contacted tomorrow" in words
    assert "Nothing to list tonight." in words
    assert "No campaign was judged tonight." in words
    assert " nan" not in words.lower()


def test_unknown_numbers_are_dashes(changed: Change) -> None:
    unknown = changed(
        "campaign_verdicts", effect_cents=pd.NA, effect_low_cents=pd.NA, effect_high_cents=pd.NA, placebo_cents=pd.NA,
        placebo_low_cents=pd.NA, placebo_high_cents=pd.NA, naive_cents=pd.NA,
    )  # fmt: skip
    words = outline(page(unknown)).words
    assert "<NA>" not in words
    assert "adjusted: not known" in words


def test_small_groups_do_not_show(night: Night) -> None:
    state = night.scores["lifecycle_state"].where(night.scores.index >= 3, "regained")
    words = outline(page(replace(night, scores=night.scores.assign(lifecycle_state=state)))).words
    row = words[words.index("Customers by lifecycle state") :]
    row = row[row.index("Regained") :].split()[:4]
    assert row == ["Regained", "≤7", "–", "–"]
    assert "hidden" in words


def test_small_categories_are_left_out_of_the_offers(night: Night) -> None:
    rare = night.offers["category"].where(night.offers.index >= 3, "caviar")
    assert "caviar" not in page(replace(night, offers=night.offers.assign(category=rare)))


def test_words_of_the_glossary_are_explained_once_where_they_stand() -> None:
    text = str(with_terms("Lift and lift, not shoplifting; <b>placebo</b>"))
    assert text.count('class="term"') == 2
    assert "&lt;b&gt;" in text
    assert GLOSSARY["lift"] in text


def test_explanations_are_escaped_too() -> None:
    assert "<i>" not in str(with_terms("lift", {"lift": "<i>"}))
