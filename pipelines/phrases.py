"""Phrases: how a feature is said to a manager. A feature without a phrase is never named as a reason.

Of features that say nearly the same, one has a phrase: the one that a person at the till would use.
"""

from collections.abc import Mapping

from models.phrases import Phrase

PHRASES: Mapping[str, Phrase] = {
    "recency_days": Phrase(
        "last visit {value} ago, usually every {own}", "days", "gap_mean_days", "last visit {value} ago"
    ),
    "recency_to_gap_ratio": Phrase("away {value} times as long as usual for them (typical {typical})", "ratio"),
    "gap_mean_days": Phrase("comes every {value} on average (typical {typical})", "days"),
    "gap_median_days": Phrase("comes every {value} (typical {typical})", "days"),
    "gap_last_days": Phrase("stayed away {value} before the last visit (typical {typical})", "days"),
    "n_active_weeks_182d": Phrase("came in {value} of the last 26 weeks (typical {typical})", "count"),
    "gap_variation": Phrase("comes irregularly (variation {value}, typical {typical})", "ratio"),
    "orders_trend": Phrase("orders run at {value} of their earlier pace (typical {typical})", "pace"),
    "spend_28d_cents": Phrase("spent {value} in the last 4 weeks (typical {typical})", "cents"),
    "spend_84d_cents": Phrase("spent {value} in the last 12 weeks (typical {typical})", "cents"),
    "spend_trend": Phrase("spends at {value} of their earlier pace (typical {typical})", "pace"),
    "order_value_mean_cents": Phrase("{value} per order (typical {typical})", "cents"),
    "lines_per_order": Phrase("lines per order: {value} (typical {typical})", "ratio"),
    "n_categories_84d": Phrase("categories bought in the last 12 weeks: {value} (typical {typical})", "count"),
    "discount_share": Phrase("{value} of list price saved by discounts (typical {typical})", "share"),
    "tenure_days": Phrase("customer for {value} (typical {typical})", "days"),
    "n_stores_364d": Phrase("stores visited in the last year: {value} (typical {typical})", "count"),
    "n_campaigns_84d": Phrase("campaigns received in the last 12 weeks: {value} (typical {typical})", "count"),
}
"""Feature -> template; ``{typical}`` is the median of tonight's eligible customers."""
