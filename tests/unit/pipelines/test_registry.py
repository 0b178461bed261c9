"""What the lake wrote down of models, and that nothing else is ever loaded."""

from pathlib import Path

import pytest

from data.errors import ArtifactError
from data.lake import Lake
from pipelines.registry import TABLE, Registered, champion, known_models, models_table, recorded, with_model
from pipelines.tracking import ModelVersion


def made(model: str, version: int, sha256: str = "abc") -> Registered:
    return Registered(
        ModelVersion(model, version, sha256, ("recency_days", "tenure_days")), {"chosen": "blend", "n": 2}
    )


class Aliases:
    """The one thing that the champion is asked of a tracker."""

    def __init__(self, **versions: int) -> None:
        self.versions = versions

    def champion(self, model: str) -> int | None:
        return self.versions.get(model)


@pytest.fixture
def known() -> list[dict[str, object]]:
    return with_model(with_model([], made("churn", 1), "k1", "m1"), made("churn", 2, "def"), "k2", "m2")


def test_a_new_lake_knows_no_model(tmp_path: Path):
    assert known_models(Lake(tmp_path)) == []


def test_what_is_written_comes_back_oldest_first(tmp_path, known):
    lake = Lake(tmp_path)
    lake.write(TABLE, models_table(known), as_of=None, fingerprint="f")
    assert known_models(lake) == known
    assert [row["version"] for row in known] == [1, 2]
    assert [row["run_key"] for row in known] == ["k1", "k2"]


def test_a_record_is_whole_again(known):
    assert recorded(known, "churn", 1) == made("churn", 1)
    assert recorded(known, "churn", 2) == made("churn", 2, "def")


def test_the_same_version_again_replaces_itself(known):
    again = with_model(known, made("churn", 1, "other"), "k1", "m1")
    assert [(row["version"], row["sha256"]) for row in again] == [(2, "def"), (1, "other")]
    assert len(known) == 2, "the list that was given stays as it is"


def test_models_do_not_meet(known):
    both = with_model(known, made("value", 1), "k1", "m1")
    assert recorded(both, "value", 1).version.sha256 == "abc"
    assert len(both) == 3


def test_a_version_that_nobody_wrote_down_is_refused(known):
    with pytest.raises(ArtifactError, match="model churn version 3, which no run of this lake registered") as caught:
        recorded(known, "churn", 3)
    assert caught.value.exit_code == 5
    with pytest.raises(ArtifactError):
        recorded(known, "value", 1)


def test_the_champion_is_the_alias_with_its_record(known):
    assert champion(Aliases(), known, "churn") is None
    assert champion(Aliases(churn=1), known, "churn") == made("churn", 1)
    assert champion(Aliases(churn=2), known, "churn") == made("churn", 2, "def")


def test_an_alias_that_points_at_a_stranger_is_refused(known):
    """Somebody moved it by hand to a version whose digest we never saw."""
    with pytest.raises(ArtifactError, match="point the alias champion at a version that a night made"):
        champion(Aliases(churn=9), known, "churn")


def test_a_table_without_models_keeps_its_columns():
    assert models_table([]).schema == models_table(with_model([], made("churn", 1), "k", "m")).schema
