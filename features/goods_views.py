"""What kind of goods the customer buys: brands and prices, as the list of products has them today.

Products carry no second clock: a product is taken to have had its brand and its list price ever since.
"""

import ibis
from ibis import _

from features.given import given
from features.periods import KEYS
from features.registry import view
from features.views import History

LOOKBACK_DAYS = 182
OWN_BRANDS = ("private", "private label", "own brand", "own label", "own", "store brand", "house brand")
"""Words by which a list of products calls the company's own brand, in small letters."""


@view(sources=["transactions", "products"])
def brands(history: History) -> ibis.Table:
    """Brands bought within 182 days; products without a brand are left out.

    Columns: brand, is_own (the company's own brand), n_sold (lines).
    """
    products = given(history, "products", {"product_id": "string", "brand": "string"})
    products = products.group_by("product_id").aggregate(brand=products.brand.max())
    goods = history.goods.join(products.filter(products.brand.notnull()), "product_id")
    rows = history.gathered(goods.mutate(n_sold=1), "brand", LOOKBACK_DAYS, n_sold=_.n_sold.sum())
    return rows.select(*KEYS, "brand", "n_sold", is_own=rows.brand.strip().lower().isin(OWN_BRANDS))


@view(sources=["transactions", "products"])
def prices(history: History) -> ibis.Table:
    """List prices of what was sold within 182 days, one row per customer; products without one are left out.

    Columns: n_priced (sold lines of products with a list price and a category), n_dear (those of a list price above
    the category's usual one), list_cents (their list prices), usual_twice_cents (twice the usual list prices of their
    categories: the medians over the list of products, which may end in halves).
    """
    products = given(history, "products", {"product_id": "string", "category": "string", "list_price_cents": "int64"})
    products = products.filter(products.category.notnull(), products.list_price_cents > 0)
    products = products.group_by("product_id").aggregate(
        category=products.category.max(), price_cents=products.list_price_cents.max()
    )
    usual = products.group_by("category").aggregate(
        usual_twice_cents=(products.price_cents.median() * 2).round().cast("int64")
    )
    products = products.join(usual, "category")
    goods = history.goods.join(products, "product_id")
    goods = goods.mutate(
        all_goods=1,
        n_priced=1,
        n_dear=(2 * goods.price_cents > goods.usual_twice_cents).cast("int64"),
        list_cents=goods.price_cents,
    )
    sums = ("n_priced", "n_dear", "list_cents", "usual_twice_cents")
    # All that was sold is one thing: nothing but its sums is asked for.
    rows = history.gathered(goods, "all_goods", LOOKBACK_DAYS, **{name: _[name].sum() for name in sums})
    return rows.select(*KEYS, *sums)
