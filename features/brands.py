"""Which brands the customer buys, and how much of it is the company's own."""

import ibis

from features.measures import entropy, share
from features.registry import Expression, feature

NO_BRAND = "no line of a known brand in the last 182 days"


@feature(view="brands", unit="count", lookback=182)
def n_brands_182d(brands: ibis.Table) -> Expression:
    """Different brands bought in the last 182 days."""
    return brands.count()


@feature(view="brands", unit="share", null=NO_BRAND, lookback=182)
def top_brand_share(brands: ibis.Table) -> Expression:
    """Share of the most bought brand among the sold lines of known brand of the last 182 days."""
    return share(brands.n_sold.max(), brands.n_sold.sum())


@feature(view="brands", unit="nats", null=NO_BRAND, lookback=182)
def brand_entropy(brands: ibis.Table) -> Expression:
    """Shannon entropy of the sold lines of the last 182 days over brands: 0 is one brand alone."""
    return entropy(brands.n_sold, brands.n_sold > 0)


@feature(view="brands", unit="share", null=NO_BRAND, lookback=182)
def own_brand_share(brands: ibis.Table) -> Expression:
    """Share of the company's own brand among the sold lines of known brand of the last 182 days."""
    return share(brands.n_sold.sum(where=brands.is_own).fill_null(0), brands.n_sold.sum())
