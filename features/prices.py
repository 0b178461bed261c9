"""How dear the goods are that the customer chooses, against what is usual in their categories."""

import ibis

from features.measures import share
from features.registry import Expression, feature

NO_PRICE = "no line of a product with list price and category in the last 182 days"


@feature(view="prices", unit="ratio", null=NO_PRICE, lookback=182)
def price_level(prices: ibis.Table) -> Expression:
    """List prices of what was bought in the last 182 days, divided by the median list prices of the categories."""
    return share(2 * prices.list_cents.sum(), prices.usual_twice_cents.sum())


@feature(view="prices", unit="share", null=NO_PRICE, lookback=182)
def dear_lines_share(prices: ibis.Table) -> Expression:
    """Share of the sold lines of the last 182 days with a list price above the median of their category."""
    return share(prices.n_dear.sum(), prices.n_priced.sum())
