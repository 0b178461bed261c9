"""Where the customer buys, store by store."""

import ibis
from ibis import _

from features.periods import KEYS
from features.registry import view
from features.views import History

LOOKBACK_DAYS = 364


@view(sources=["transactions"])
def stores(history: History) -> ibis.Table:
    """Known stores in which something was bought within 364 days.

    Columns: store_id, n_sold (lines).
    """
    goods = history.goods.filter(history.goods.store_id.notnull())
    rows = history.gathered(goods.mutate(n_sold=1), "store_id", LOOKBACK_DAYS, n_sold=_.n_sold.sum())
    return rows.select(*KEYS, "store_id", "n_sold")
