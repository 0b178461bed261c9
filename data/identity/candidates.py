"""Pairs of customers that may be one person, each with its evidence in bits and a probability.

The model is that of Fellegi and Sunter (1969), fitted and applied by Splink in DuckDB: every field adds the logarithm
of how much oftener its outcome is seen among pairs that are one person than among pairs that are not. Agreement in
a rare name, address or number says more than in a frequent one. Nothing here merges anything.

A household shares e-mail, telephone and address, so these do not speak independently. Where the names of a pair agree
only in part, not at all, or are not known, only the strongest of them counts and the name is weighed against other
members of the household; ``household_bits`` is what this takes away (an interaction in the sense of Thibaudeau 1993).
"""

import logging
from contextlib import closing
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from splink import DuckDBAPI, Linker

from data.engine import connect
from data.identity.comparisons import COMPARISONS, CONTACTS, CROWD, HOUSEHOLD_U, MACROS, Comparison, settings
from data.identity.normalise import normalised
from data.identity.settings import Identity
from data.identity.training import Weights, trained

SUGGESTED = 0.9
"""Probability from which a pair is worth a person's look; see the tests for what it finds."""

BLOCKS = (
    "l.email = r.email",
    "l.phone = r.phone",
    "l.block_name = r.block_name",
    "l.block_address = r.block_address",
    "l.block_mailbox = r.block_mailbox",
)

# Splink warns of every level that a sample lacks, which has fixed weights here.
logging.getLogger("splink").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be one person.

    Attributes
    ----------
    pairs
        customer_id_a < customer_id_b, match_probability, match_weight (bits: the sum of the rest), prior_bits, then
        for each field its level (same, close, partly, differs, missing) and bits, household_bits, and is_estimated.
        Likeliest first. No personal data.
    n_customers, n_scored
        How many customers were compared, in how many pairs.
    is_estimated
        Whether the weights were estimated from these customers; else they are fixed ones, because too few customers
        or too few evident duplicates were there to estimate from.
    """

    pairs: pa.Table
    n_customers: int
    n_scored: int
    is_estimated: bool


def candidates(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    identity: Identity,
    *,
    min_probability: float = SUGGESTED,
    seed: int = 0,
) -> Candidates:
    """Return the pairs of a table of identities that may be one person.

    The answer depends on the rows and the seed alone: not on their order, not on the number of threads.

    Parameters
    ----------
    connection, table
        Where the identities are: customer_id and any of name, email, phone, street, postal_code, city, country.
    identity
        The settings; only ``default_region`` matters here.
    min_probability
        Leave out pairs below it.
    seed
        Of the random sample of pairs from which chance agreement is estimated.
    """
    people = normalised(connection, table, identity.default_region)
    # Its own database and one thread: sums of floats come in one order, and nothing of a person stays behind.
    with closing(connect(threads=1).con) as own:
        prepare(own, people)
        weights = trained(own, seed)
        scored = _scored(own, weights)
        n_scored = own.sql(f"SELECT count(*) FROM {scored}").fetchall()[0][0]  # noqa: S608
        pairs = own.sql(_evidence(scored, weights, min_probability)).to_arrow_table()
    return Candidates(pairs, people.num_rows, n_scored, weights.is_estimated)


def prepare(own: duckdb.DuckDBPyConnection, people: pa.Table) -> None:
    """Make the table ``people`` that is compared, without values that a crowd shares."""
    own.execute(MACROS)
    own.register("normalised_people", people)
    own.execute(
        f"""
        CREATE TABLE people AS
        SELECT customer_id, name, street, house, postal_code, city, address, coalesce(postal_code, city) AS area,
          {_unless_crowded("email", "email")}, {_unless_crowded("phone", "phone")},
          {_unless_crowded("name", "block_name")}, {_unless_crowded("address", "block_address")},
          {_unless_crowded("CASE WHEN instr(email, '@') > 5 THEN split_part(email, '@', 1) END", "block_mailbox")}
        FROM normalised_people ORDER BY customer_id
        """  # noqa: S608
    )


def _unless_crowded(value: str, name: str) -> str:
    return f"CASE WHEN count(*) OVER (PARTITION BY {value}) <= {CROWD} THEN {value} END AS {name}"


def _scored(own: duckdb.DuckDBPyConnection, weights: Weights) -> str:
    """Return the name of Splink's table of scored pairs."""
    people = DuckDBAPI(own).register("people")
    linker = Linker(people, settings(weights.shares, weights.prior, list(BLOCKS)), log_level=None)
    return str(linker.inference.predict(warning_mode="never").physical_name)


def _evidence(scored: str, weights: Weights, min_probability: float) -> str:
    """Return the query of the evidence; bits are rounded before they are added, so that they add up for a reader."""
    fields = [comparison.field for comparison in COMPARISONS]
    levels = ", ".join(f"{_word(c)} AS {c.field}_level, {_bits(c)} AS {c.field}_bits" for c in COMPARISONS)
    total = " + ".join(["prior_bits", *(f"{field}_bits" for field in fields), "household_bits"])
    columns = ", ".join(f"{field}_level, {field}_bits" for field in fields)
    return f"""
        WITH read AS (SELECT customer_id_l AS customer_id_a, customer_id_r AS customer_id_b,
            CAST({round(weights.prior_bits, 4)!r} AS DOUBLE) AS prior_bits, {levels} FROM {scored}),
        held AS (SELECT *, {_household(weights)} AS household_bits FROM read),
        summed AS (SELECT *, round({total}, 4) AS match_weight FROM held)
        SELECT customer_id_a, customer_id_b, round(1 / (1 + pow(2, -match_weight)), 6) AS match_probability,
          match_weight, prior_bits, {columns}, household_bits, {str(weights.is_estimated).lower()} AS is_estimated
        FROM summed WHERE match_probability >= {min_probability!r}
        ORDER BY match_weight DESC, customer_id_a, customer_id_b
        """  # noqa: S608


def _word(comparison: Comparison) -> str:
    """Return the level in words: Splink numbers the levels downwards, and what is missing is -1."""
    n_levels = len(comparison.levels)
    cases = " ".join(
        f"WHEN {n_levels - 1 - place} THEN '{level.word}'" for place, level in enumerate(comparison.levels)
    )
    return f"CASE gamma_{comparison.field} {cases} ELSE 'missing' END"


def _bits(comparison: Comparison) -> str:
    has_rarity = any(level.rarity for level in comparison.levels)
    rarity = f" + mw_tf_adj_{comparison.field}" if has_rarity else ""
    return f"round(mw_{comparison.field}{rarity}, 4) + 0.0"


def _household(weights: Weights) -> str:
    """Return the bits that a household's shared contacts have too many, where the names are not alike."""
    positive = [
        f"CASE WHEN {field}_level IN ('same', 'close') THEN greatest({field}_bits, 0) ELSE 0 END" for field in CONTACTS
    ]
    total, strongest = " + ".join(positive), f"greatest({', '.join(positive)})"
    within = " ".join(
        f"WHEN '{word}' THEN {weights.bits_within('name', word, HOUSEHOLD_U)!r}" for word in ("partly", "differs")
    )
    return f"""CASE WHEN name_level IN ('partly', 'differs', 'missing') AND {strongest} > 0
        THEN round({strongest} - ({total}) + CASE name_level {within} ELSE 0 END - name_bits, 4) + 0.0
        ELSE 0.0 END"""
