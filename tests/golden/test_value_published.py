"""What the value model reaches on the sample of CDNOW, on the split and by the measures of a published comparison."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from models import value


@pytest.fixture(scope="module")
def shop(test_data):
    path = Path(__file__).parents[1] / "benchmarks" / "value_shops.py"
    spec = importlib.util.spec_from_file_location("value_shops_of_golden", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.cdnow(test_data)


@pytest.mark.slow
def test_cdnow_forecast_is_as_good_as_the_best_published(shop):
    """The choice falls on the dates before; the histories are fitted again to what was known at the judged one."""
    names = [name for name in value.SPEC.features if name in shop.names]
    model = value.fit(shop.train, names, horizon_days=shop.train_days, seed=20240601)
    assert model.is_later
    assert model.chosen == "pareto_nbd"
    found = model.refreshed(shop.judged).forecast(shop.judged, [shop.judged_days])
    purchases = np.abs(found["n_purchases_273d"] - shop.judged["purchases_ahead"]).mean()
    spend = np.abs(found["net_spend_273d_cents"] - shop.judged["spend_cents"]).mean()
    assert purchases <= 0.758
    assert spend <= 2_960
