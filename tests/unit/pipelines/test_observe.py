"""Observations: who is asked the question is told from a feature, and is whom the labels' module would ask."""

import pytest

from features.battery.engine import connect, load
from features.battery.worlds import AS_OFS, random_world
from features.labels import eligible
from features.matrix import collect
from pipelines.observe import _with_eligible

NEW_YORK = "America/New_York"


@pytest.mark.parametrize("window_days", [1, 28, 400])
@pytest.mark.parametrize("seed", range(3))
def test_who_is_eligible_is_whom_the_labels_would_ask(seed, window_days):
    backend = connect()
    tables = load(backend, random_world(seed))
    asked = eligible(tables, list(AS_OFS), NEW_YORK, window_days).order_by("as_of", "customer_id").to_pyarrow()
    told = _with_eligible(collect(tables, list(AS_OFS), NEW_YORK, ["recency_days"]), window_days)
    assert told.select(asked.column_names).combine_chunks().equals(asked.combine_chunks())
    assert 0 < sum(asked["is_eligible"].to_pylist()) < asked.num_rows or window_days != 28
    backend.disconnect()
