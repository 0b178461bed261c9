"""Why a category is offered to a household: the strongest confirmed rule, else the nearest purchase, in words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.basket import Integers
from models.cooccurrence import Floats


@dataclass(frozen=True)
class Reasons:
    """Hold what explains each category by each other one.

    Parameters
    ----------
    categories
        Names.
    strength
        ``adjusted_lift`` of the confirmed rule from a category (row) to another (column); 0 where there is none.
    confidence
        Its confidence.
    nearness
        Weight of a purchase (row) in favour of another category (column).
    popularity
        Share of households that buy each category.
    """

    categories: NDArray[np.object_]
    strength: Floats
    confidence: Floats
    nearness: Floats
    popularity: Floats

    @classmethod
    def of(
        cls, rules: pd.DataFrame, categories: NDArray[np.object_], nearness: Floats, popularity: Floats
    ) -> "Reasons":
        """Take the confirmed rules of a frame with the columns of the table ``rules``.

        Rules with a category that is not among ``categories`` explain nothing and are left out.
        """
        names = pd.Index(categories)
        left, right = (names.get_indexer(pd.Index(rules[side])) for side in ("antecedents", "consequents"))
        kept = rules["is_confirmed"].to_numpy(dtype=bool) & (left >= 0) & (right >= 0)
        where = (left[kept], right[kept])
        strength, confidence = np.zeros(nearness.shape), np.zeros(nearness.shape)
        strength[where] = rules["adjusted_lift"].to_numpy()[kept]
        confidence[where] = rules["confidence"].to_numpy()[kept]
        return cls(categories, strength, confidence, nearness, popularity)

    def words(self, owned: NDArray[np.bool_], offered: Integers) -> list[str]:
        """Return one sentence per row: ``owned`` marks what the household buys, ``offered`` is the category's code.

        The rule with the largest adjusted lift speaks; without one, the purchase that weighs most; without any
        purchase that speaks for the category, its popularity.
        """
        by_rule = np.where(owned, self.strength[:, offered].T, 0.0)
        by_weight = np.where(owned, self.nearness[:, offered].T, 0.0)
        best, nearest = by_rule.argmax(axis=1), by_weight.argmax(axis=1)
        rows = np.arange(len(offered))
        has_rule, has_near = by_rule[rows, best] > 0, by_weight[rows, nearest] > 0
        return [
            self._rule(best[i], offered[i])
            if has_rule[i]
            else self._purchase(nearest[i], offered[i])
            if has_near[i]
            else self._popularity(offered[i])
            for i in rows
        ]

    def _rule(self, antecedent: int, consequent: int) -> str:
        share, strength = self.confidence[antecedent, consequent], self.strength[antecedent, consequent]
        bought, offered = self.categories[antecedent], self.categories[consequent]
        return (
            f"buys {bought}: {share:.0%} of baskets with it also hold {offered} "
            f"({strength:.1f} times what basket size explains, confirmed on later orders)"
        )

    def _purchase(self, antecedent: int, consequent: int) -> str:
        return f"buys {self.categories[antecedent]}, as do households that buy {self.categories[consequent]}"

    def _popularity(self, consequent: int) -> str:
        return f"{self.popularity[consequent]:.0%} of households buy {self.categories[consequent]}"
