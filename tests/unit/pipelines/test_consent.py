"""Who refused is contacted neither by the decision nor by a list written later, and no model learns from them."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import ConfigError
from data.lake import Lake
from data.privacy import consented, objected
from pipelines.consent import (
    contactable,
    for_contacts,
    keeps_consents,
    statements,
    trainable,
    without_withdrawn,
)
from pipelines.plan import plan
from pipelines.settings import Decisions, Settings, Source

AS_OF = datetime(2024, 3, 1)
Said = tuple[str, str, bool, datetime]


def table(*rows: Said, known_at: datetime | None = None) -> pa.Table:
    names = ("customer_id", "purpose", "is_granted", "event_time")
    schema = pa.schema(dict(zip(names, (pa.string(), pa.string(), pa.bool_(), pa.timestamp("us")), strict=True)))
    made = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema)
    return (
        made
        if known_at is None
        else made.append_column("known_at", pa.array([known_at] * len(rows), pa.timestamp("us")))
    )


def agreed(customer: str, days_ago: int, purpose: str = "marketing") -> Said:
    return customer, purpose, True, AS_OF - timedelta(days=days_ago)


def refused(customer: str, days_ago: int, purpose: str = "marketing") -> Said:
    return customer, purpose, False, AS_OF - timedelta(days=days_ago)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path, source=Source(kind="parquet", path=tmp_path / "raw"))


def lake_with(settings: Settings, *said: Said) -> Lake:
    lake = Lake(settings.lake_root)
    with lake.lock():
        lake.write("consents", table(*said), as_of=None, fingerprint=str(len(said)))
    return lake


def test_both_clocks_count():
    """What happened before as_of but reached us after it was not known, whichever way it went."""
    late = table(refused("a", 5), known_at=AS_OF + timedelta(days=1))
    early = table(agreed("a", 9), known_at=AS_OF - timedelta(days=9))
    said = pa.concat_tables([early, late])
    assert consented(["a"], said, "marketing", AS_OF).tolist() == [True]
    assert consented(["a"], said, "marketing", AS_OF + timedelta(days=2)).tolist() == [False]
    unknown = table(refused("a", 5)).append_column("known_at", pa.array([None], pa.timestamp("us")))
    assert consented(["a"], unknown, "marketing", AS_OF).tolist() == [False], "without known_at the event counts"


def test_silence_is_no_objection_and_a_newer_word_takes_it_back():
    said = table(refused("a", 9, "profiling"), refused("b", 9, "profiling"), agreed("b", 5, "profiling"))
    assert objected(["a", "b", "c"], said, "profiling", AS_OF).tolist() == [True, False, False]
    assert objected(["a"], said, "profiling", AS_OF - timedelta(days=9)).tolist() == [False]
    assert objected(["a", "b"], None, "profiling", AS_OF).tolist() == [False, False]


def test_who_may_be_contacted_agreed_to_marketing_and_did_not_object_to_profiling(settings):
    said = table(agreed("a", 9), agreed("b", 9), refused("b", 3), agreed("c", 9), refused("c", 3, "profiling"))
    assert contactable(settings, said, ["a", "b", "c", "silent"], AS_OF).tolist() == [True, False, False, False]


def test_without_statements_the_configuration_must_speak(settings):
    with pytest.raises(ConfigError, match="no table of consents"):
        contactable(settings, None, ["a"], AS_OF)
    assumed = settings.model_copy(update={"decisions": Decisions(assumed_consent=("marketing",))})
    assert contactable(assumed, None, ["a"], AS_OF).tolist() == [True]


def test_no_model_learns_from_who_objected(settings):
    frame = pd.DataFrame({"customer_id": ["a", "b", "a"], "x": [1, 2, 3]})
    left = trainable(table(refused("a", 3, "profiling")), frame, AS_OF)
    assert left.to_dict("list") == {"customer_id": ["b"], "x": [2]}
    assert list(left.index) == [0]
    pd.testing.assert_frame_equal(trainable(None, frame, AS_OF), frame)


def test_a_company_that_delivers_consents_need_assume_nothing(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("customers", "products", "transactions"):
        pq.write_table(pa.table({"x": [name]}), raw / f"{name}.parquet")
    config = tmp_path / "regulars.toml"
    config.write_text(f'root = "{tmp_path}/var"\n[source]\nkind = "parquet"\npath = "raw"\n')
    with pytest.raises(ConfigError, match="no table of consents"):
        plan(config, None, lambda _: AS_OF.date())
    pq.write_table(table(agreed("a", 9)), raw / "consents.parquet")
    assert keeps_consents(Settings.read(config))
    assert plan(config, None, lambda _: AS_OF.date()).as_of_on == AS_OF.date()


def test_a_mapped_table_that_is_empty_is_a_table(tmp_path, settings):
    assert statements(settings, Lake(settings.lake_root)) is None, "nobody keeps any"
    lake = lake_with(settings)
    assert statements(settings, lake) is None, "an empty table that nobody delivers says nothing"
    (tmp_path / "raw").mkdir()
    pq.write_table(table(), tmp_path / "raw" / "consents.parquet")
    found = statements(settings, lake)
    assert found is not None
    assert not contactable(settings, found, ["a"], AS_OF).any(), "delivered and empty: nobody agreed"


def night(customers: list[str]) -> Any:
    actions = pd.DataFrame(
        {"customer_id": customers, "action": "retain", "arm": ["holdout", *["action"] * (len(customers) - 1)]}
    )
    frame = pd.DataFrame({"customer_id": customers, "rank": 1})
    return SimpleNamespace(actions=actions, offers=frame, scores=frame.copy())


def test_consent_that_was_withdrawn_since_is_heeded_when_the_list_is_shown(settings):
    """Catalogue row G2: the decision of that night stays as it was in the lake, what is shown of it changes."""
    lake = lake_with(settings, agreed("a", 9), agreed("b", 9), refused("b", -2))
    assert contactable(settings, statements(settings, lake), ["a", "b"], AS_OF).all(), "at as_of both had agreed"
    shown = without_withdrawn(settings, lake, night(["a", "b"]).actions)
    assert shown["action"].tolist() == ["retain", "leave_alone"]
    assert shown["arm"].tolist() == ["holdout", "action"], "whom the lot held out stays held out"


@pytest.mark.parametrize("seed", range(5))
def test_no_export_names_anybody_who_may_not_be_contacted(settings, seed, monkeypatch):
    """Catalogue row G1: leaks 0 of n, against a plain reading of what each customer said last."""
    random = np.random.default_rng(seed)
    customers = [f"c{number}" for number in range(200)]
    said = []
    for customer in customers:
        for purpose in ("marketing", "profiling"):
            said += [
                (customer, purpose, bool(random.random() < 0.6), AS_OF + timedelta(minutes=int(random.integers(-9, 9))))
                for _ in range(random.integers(0, 3))
            ]
    lake_with(settings, *said)
    monkeypatch.setattr("pipelines.consent.replace", lambda _, **parts: SimpleNamespace(**parts))
    exported = for_contacts(settings, night(customers))

    def last(customer: str, purpose: str) -> set[bool]:
        mine = [(at, yes) for who, what, yes, at in said if (who, what) == (customer, purpose)]
        return {yes for at, yes in mine if at == max(at for at, _ in mine)}

    allowed = [one for one in customers if last(one, "marketing") == {True} and False not in last(one, "profiling")]
    assert 0 < len(allowed) < len(customers)
    for name in ("actions", "offers", "scores"):
        assert getattr(exported, name)["customer_id"].tolist() == allowed, name


def test_who_keeps_no_consents_loses_nothing(settings):
    before = night(["a"])
    assert for_contacts(settings, before) is before
    assert without_withdrawn(settings, Lake(settings.lake_root), before.actions) is before.actions


def test_settings_say_nothing_of_people():
    assert "consents" not in json.dumps(Settings().model_dump(mode="json")["decisions"])
