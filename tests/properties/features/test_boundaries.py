"""L3: one half-open boundary, the same for features and labels, whatever the calendar does that night."""

from datetime import datetime, timedelta
from types import ModuleType

import pytest

from features.labels import labels
from features.matrix import to_frame

CASES = {
    "before the day of 23 hours": ("America/New_York", "2017-03-12T05:00"),
    "after the day of 23 hours": ("America/New_York", "2017-03-13T04:00"),
    "after the day of 25 hours": ("America/New_York", "2017-11-06T05:00"),
    "in the hour that comes twice, first": ("America/New_York", "2017-11-05T05:30"),
    "in the hour that comes twice, second": ("America/New_York", "2017-11-05T06:30"),
    "after the spring change": ("Europe/Berlin", "2020-03-29T22:00"),
    "after the autumn change": ("Europe/Berlin", "2020-10-25T23:00"),
    "after the leap day": ("Europe/Berlin", "2020-02-29T23:00"),
    "before the leap day": ("Europe/Berlin", "2020-02-28T23:00"),
    "at the turn of the year": ("Asia/Kolkata", "2019-12-31T18:30"),
}


@pytest.mark.parametrize("night", CASES)
@pytest.mark.parametrize(("step", "is_past"), [(-1, True), (0, False), (1, False)])
def test_an_event_is_either_past_or_future(worlds: ModuleType, night: str, step: int, is_past: bool) -> None:
    timezone, instant = CASES[night]
    as_of = datetime.fromisoformat(instant)
    events = [as_of - timedelta(days=3), as_of + timedelta(microseconds=step)]
    lines = [worlds.line("c", at, local_time=worlds.local(at, timezone), amount_cents=7) for at in events]
    tables = worlds.frames(lines)
    past = worlds.compute(tables, [as_of], ["n_orders_28d", "spend_28d_cents"], timezone=timezone)
    assert past["n_orders_28d"].item() == 1 + is_past
    assert past["spend_28d_cents"].item() == 7 * (1 + is_past)
    truth = labels(
        worlds.load(worlds.connect(), tables), [as_of], timezone, 28, observed_until=as_of + timedelta(days=60)
    )
    assert to_frame(truth)["n_purchase_days"].item() == 1 - is_past
