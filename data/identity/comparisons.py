"""How two customers are compared, field by field, and what agreement weighs where the data cannot say it."""

from collections.abc import Mapping
from dataclasses import dataclass

MACROS = """
CREATE OR REPLACE TEMP MACRO words(text) AS string_split(text, ' ');
CREATE OR REPLACE TEMP MACRO close_words(x, y) AS
  x = y
  OR (least(length(x), length(y)) = 1 AND x[1] = y[1])
  OR (least(length(x), length(y)) >= 4 AND damerau_levenshtein(x, y) <= 1)
  OR (least(length(x), length(y)) >= 8 AND damerau_levenshtein(x, y) <= 2);
CREATE OR REPLACE TEMP MACRO every_word_found(a, b) AS
  list_min(list_transform(words(a), lambda x:
    list_max(list_transform(words(b), lambda y: close_words(x, y)::INT)))) = 1;
CREATE OR REPLACE TEMP MACRO close_names(a, b) AS
  least(len(words(a)), len(words(b))) >= 2
  AND CASE WHEN len(words(a)) <= len(words(b)) THEN every_word_found(a, b) ELSE every_word_found(b, a) END;
CREATE OR REPLACE TEMP MACRO partly_names(a, b) AS list_has_any(words(a), words(b));
CREATE OR REPLACE TEMP MACRO close_emails(a, b) AS
  (length(split_part(a, '@', 1)) >= 5 AND split_part(a, '@', 1) = split_part(b, '@', 1))
  OR (least(length(a), length(b)) >= 10 AND damerau_levenshtein(a, b) <= 1
      AND regexp_replace(a, '[^0-9]', '', 'g') = regexp_replace(b, '[^0-9]', '', 'g'));
"""
"""DuckDB's own words for "close": the conditions below name them."""


@dataclass(frozen=True)
class Level:
    """One outcome of a comparison.

    Parameters
    ----------
    word
        What a person reads.
    condition
        SQL over a column of both customers, ``_l`` and ``_r``; ``ELSE`` for what is left.
    m, u
        Share of this outcome among pairs that are one customer, and among pairs that are not; used where the data
        are too few to estimate them.
    rarity
        Column whose frequency takes the place of ``u``: agreement in something rare says more.
    u_is_fixed
        Whether ``u`` is not to be learned from pairs drawn at random.
    """

    word: str
    condition: str
    m: float
    u: float
    rarity: str | None = None
    u_is_fixed: bool = False


@dataclass(frozen=True)
class Comparison:
    """A field and the outcomes of comparing it, most alike first; it is missing where either side lacks it."""

    field: str
    known_by: str
    levels: tuple[Level, ...]


COMPARISONS = (
    Comparison(
        "name",
        "name",
        (
            Level("same", "name_l = name_r", 0.74, 1e-4, "name"),
            Level("close", "close_names(name_l, name_r)", 0.20, 3e-4),
            Level("partly", "partly_names(name_l, name_r)", 0.04, 0.01),
            Level("differs", "ELSE", 0.02, 0.9896),
        ),
    ),
    Comparison(
        "email",
        "email",
        (
            Level("same", "email_l = email_r", 0.65, 1e-5, "email"),
            # Mailboxes are made of names: namesakes have close ones, so chance is not that of strangers.
            Level("close", "close_emails(email_l, email_r)", 0.10, 0.03, u_is_fixed=True),
            Level("differs", "ELSE", 0.25, 0.96999),
        ),
    ),
    Comparison(
        "phone",
        "phone",
        (
            Level("same", "phone_l = phone_r", 0.65, 1e-5, "phone"),
            Level("close", "damerau_levenshtein(phone_l, phone_r) <= 1", 0.05, 1e-5),
            Level("differs", "ELSE", 0.30, 0.99998),
        ),
    ),
    Comparison(
        "address",
        "area",
        (
            Level("same", "address_l = address_r", 0.60, 1e-4, "address"),
            Level(
                "close",
                "coalesce(house_l = house_r, false) AND (postal_code_l = postal_code_r OR city_l = city_r)"
                " AND jaro_winkler_similarity(street_l, street_r) >= 0.88",
                0.15,
                2e-5,
            ),
            Level("partly", "area_l = area_r", 0.08, 0.01, "area"),
            Level("differs", "ELSE", 0.17, 0.98988),
        ),
    ),
)
"""The fields. The fixed shares follow the range published for person files (Fellegi and Sunter 1969; Winkler 1988;
Herzog, Scheuren and Winkler 2007, chapter 9): m from .6 to .8 for agreement, u near the frequency of the value."""

CONTACTS = ("email", "phone", "address")
"""Fields that a household shares."""

CROWD = 50
"""A value that more customers have than this identifies nobody: a desk's telephone, a mailbox of the shop."""

HOUSEHOLD_U = 0.9
"""Share of pairs in one household, but not one person, whose names agree in a surname or not at all."""


def settings(
    weights: Mapping[tuple[str, str], tuple[float, float]], prior: float, rules: list[str]
) -> dict[str, object]:
    """Return what Splink needs to know: the comparisons with their m and u, the prior and the blocking rules.

    Parameters
    ----------
    weights
        Estimated m and u by field and word; a level that is not in it has its fixed ones.
    prior
        Probability that two customers drawn at random are one.
    rules
        SQL conditions; a pair that fulfils none is never compared.
    """
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "customer_id",
        "probability_two_random_records_match": prior,
        "comparisons": [_described(comparison, weights) for comparison in COMPARISONS],
        "blocking_rules_to_generate_predictions": [{"blocking_rule": rule, "sql_dialect": "duckdb"} for rule in rules],
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": True,
        "linker_uid": "regulars",
    }


def _described(comparison: Comparison, weights: Mapping[tuple[str, str], tuple[float, float]]) -> dict[str, object]:
    known = comparison.known_by
    missing = {"sql_condition": f"{known}_l IS NULL OR {known}_r IS NULL", "is_null_level": True}
    return {
        "output_column_name": comparison.field,
        "comparison_levels": [
            missing,
            *(
                _level(level, *weights.get((comparison.field, level.word), (level.m, level.u)))
                for level in comparison.levels
            ),
        ],
    }


def _level(level: Level, m: float, u: float) -> dict[str, object]:
    described: dict[str, object] = {"sql_condition": level.condition, "m_probability": m, "u_probability": u}
    if level.rarity is not None:
        # The frequency then replaces this level's own u, also where the level is no exact match.
        described |= {"tf_adjustment_column": level.rarity, "disable_tf_exact_match_detection": True}
    return described
