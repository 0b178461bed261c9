"""Kept: rows of an earlier night's matrix that hold tonight, because all that they were made from is still the same.

A customer's features at a past date are made from the customer's own rows, from what these refer to, from the list
prices, from code and from a few settings. ``origins`` digests just that, for each customer and date in one scan, and a
night stores the digest beside the features. The next night looks again, takes over the rows whose digest is the same,
and builds the others.

A row counts from its ``known_at`` until its ``replaced_at``, one without a ``known_at`` always: so every row that a
view may see is among these. All its columns count but ``replaced_at``, for a correction that comes later does not
change what was known before. That a customer's features do not hang on other customers' rows, nor on tables that their
views do not declare, is what the battery holds each feature to.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from hashlib import sha256
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.compute as pc

from data.merge import KNOWN_AT, REPLACED_AT
from features.matrix import collect
from features.periods import KEYS, SPAN, Periods
from features.registry import FEATURES
from pipelines.frames import INSTANT
from pipelines.run import Run, code_digest

TABLE = "training_observations"
MADE_FROM = "made_from"
"""Column of it that holds the digest."""

_REFERRED = {"transactions": ("products", "product_id"), "contacts": ("campaigns", "campaign_id")}
"""By table: a list of things, and the column by which a customer's rows refer to it."""
_PRICES = ("category", "list_price_cents", "product_id")
"""Columns of the products that are looked at over the whole list: what is usual in a category."""
_MOST_SHARE = 0.25
"""Share of customers with other rows, above which all are built at once rather than these once more."""
_ALWAYS = datetime(1900, 1, 1)
_HALVES = ("low", "high")


def sources(tables: Mapping[str, ibis.Table]) -> dict[str, ibis.Table]:
    """Return the tables that some feature reads; no others are handed to features."""
    names = {source for view in FEATURES.views.values() for source in view.sources}
    return {name: tables[name] for name in sorted(names & set(tables))}


def origins(tables: Mapping[str, ibis.Table], dates: Sequence[datetime], timezone: str, common: str) -> ibis.Table:
    """Return a digest of all that each customer's features are made from: customer_id, as_of, made_from.

    Customers of whom nothing was known at a date have no row there. The order of rows does not matter.

    Parameters
    ----------
    tables
        Accepted tables by name, those of ``sources``.
    dates
        Naive UTC instants, each once.
    timezone
        IANA name of the wall clock.
    common
        Digest of what is the same for all customers, see ``common_to_all``.
    """
    periods, listed = Periods.of(dates, timezone), {name for name, _ in _REFERRED.values()}
    rows = reduce(ibis.union, (_summed(_spanned(tables, name, periods)) for name in sorted(set(tables) - listed)))
    rows = rows.group_by("customer_id", *SPAN).aggregate(**{half: rows[half].sum() for half in _HALVES})
    rows = periods.dated(periods.repeated(rows))
    rows = rows.group_by(*KEYS).aggregate(**{half: rows[half].sum() for half in _HALVES})
    whole = _hash(rows, _HALVES, tables["transactions"], common=common)
    # A lake has signed numbers only.
    return rows.select(*KEYS, **{MADE_FROM: (whole >> 1).cast("int64")})


def common_to_all(run: Run, tables: Mapping[str, ibis.Table]) -> str:
    """Return a digest of what all customers' features are made from: code, settings and the list prices.

    Parameters
    ----------
    run
        The night.
    tables
        Accepted tables by name, those of ``sources``.
    """
    products, prices = tables["products"], {}
    columns = [name for name in _PRICES if name in products.columns]
    if set(columns) == set(_PRICES):
        products = products.filter(products.list_price_cents.notnull())
        rows = products.select(hashed=_hash(products, columns, products))
        prices = _summed(rows).to_pyarrow().to_pylist()[0]
    parts = [code_digest(), run.settings.company.timezone, run.settings.engine.kind, sorted(FEATURES), prices]
    return sha256(json.dumps(parts, default=str).encode()).hexdigest()


def matrix(run: Run, tables: Mapping[str, ibis.Table], past: Sequence[datetime], wanted: pa.Table) -> pa.Table:
    """Return every feature at past dates and at the run's ``as_of``, sorted by as_of and customer_id.

    The bytes are those of ``collect``; what the newest published night made from the same is not made again.

    Parameters
    ----------
    run
        The night.
    tables
        Accepted tables by name, those of ``sources``.
    past
        Naive UTC instants before the run's ``as_of``, ascending.
    wanted
        customer_id, as_of and made_from of the rows at these dates, in the same order.
    """
    timezone = run.settings.company.timezone
    kept = {at: rows for at in past if (rows := _holding(run, _at(wanted, at))).num_rows}
    changed = _changed(wanted, kept)
    if len(changed) > _MOST_SHARE * len(wanted["customer_id"].unique()):
        kept = {}
    made = collect(tables, [*(at for at in past if at not in kept), run.as_of], timezone)
    mended = collect(_of(tables, changed), list(kept), timezone) if kept and len(changed) else made.slice(0, 0)
    parts = [_mended(kept[at], _at(mended, at), changed) if at in kept else _at(made, at) for at in past]
    parts.append(_at(made, run.as_of))
    return pa.concat_tables(part.select(made.column_names).cast(made.schema) for part in parts)


def _holding(run: Run, wanted: pa.Table) -> pa.Table:
    """Return the rows of the newest published night that have the wanted digests, all of one date."""
    newest = run.lake.snapshot()
    if newest is None or TABLE not in newest.versions or not wanted.num_rows:
        return wanted.slice(0, 0)
    version, as_of = newest.versions[TABLE], wanted["as_of"][0].as_py()
    if not {MADE_FROM, *FEATURES} <= set(run.lake.schema(TABLE, version).names):
        return wanted.slice(0, 0)
    rows = run.lake.read(TABLE, version=version, as_of=as_of, columns=[*KEYS, *FEATURES, MADE_FROM])
    places = pc.index_in(wanted["customer_id"], rows["customer_id"].combine_chunks())
    is_same = pc.fill_null(pc.equal(rows[MADE_FROM].take(places), wanted[MADE_FROM]), False)
    return rows.take(places.filter(is_same))


def _changed(wanted: pa.Table, kept: Mapping[datetime, pa.Table]) -> pa.Array:
    """Return the customers of whom a row is missing at a date at which others hold."""
    missing = [pa.array([], pa.string())]
    for at, rows in kept.items():
        here = _at(wanted, at)["customer_id"].combine_chunks()
        missing.append(here.filter(pc.invert(pc.is_in(here, rows["customer_id"].combine_chunks()))))
    return pa.concat_arrays(missing).unique()


def _of(tables: Mapping[str, ibis.Table], customers: pa.Array) -> dict[str, ibis.Table]:
    """Return the tables with the rows of some customers, and lists that name none whole."""
    chosen = ibis.memtable(pa.table({"customer_id": customers}))
    return {
        name: table.semi_join(chosen, "customer_id") if "customer_id" in table.columns else table
        for name, table in tables.items()
    }


def _mended(kept: pa.Table, made: pa.Table, changed: pa.Array) -> pa.Table:
    """Return the rows of one date with those of some customers made anew, sorted by customer_id."""
    if not made.num_rows:
        return kept
    kept = kept.filter(pc.invert(pc.is_in(kept["customer_id"], changed)))
    return pa.concat_tables([kept.select(made.column_names).cast(made.schema), made]).sort_by("customer_id")


def _at(rows: pa.Table, at: datetime) -> pa.Table:
    return rows.filter(pc.equal(rows["as_of"], pa.scalar(at, INSTANT)))


def _spanned(tables: Mapping[str, ibis.Table], name: str, periods: Periods) -> ibis.Table:
    """Return the rows of customers: customer_id, since, until, and the hash of what each row says and refers to."""
    rows = tables[name]
    rows = rows.filter(rows.customer_id.notnull())
    always = ibis.literal(_ALWAYS, type="timestamp(6)")
    said = [column for column in rows.columns if column != REPLACED_AT]
    keys = ("customer_id", _REFERRED[name][1]) if name in _REFERRED else ("customer_id",)
    rows = rows.select(
        *keys,
        ready_at=ibis.coalesce(rows[KNOWN_AT], always) if KNOWN_AT in rows.columns else always,
        gone_at=rows[REPLACED_AT] if REPLACED_AT in rows.columns else ibis.null("timestamp(6)"),
        hashed=_hash(rows, said, tables[name], table=name),
    )
    rows = periods.spanned(rows)
    if name in _REFERRED:
        listed, key = _REFERRED[name]
        things = tables[listed]
        # One row per thing even where a list repeats it.
        things = _summed(things.select(key, hashed=_hash(things, things.columns, things)))
        rows = rows.left_join(things, key)
        rows = rows.mutate(hashed=_hash(rows, ("hashed", *_HALVES), tables[name]))
    return rows.select("customer_id", *SPAN, "hashed")


def _summed(rows: ibis.Table) -> ibis.Table:
    """Sum hashes per all other columns, in two halves that no number of rows makes too large."""
    halves = {"low": (rows.hashed & (2**32 - 1)).cast("int64"), "high": (rows.hashed >> 32).cast("int64")}
    sums = {half: value.sum() for half, value in halves.items()}
    keys = [name for name in rows.columns if name != "hashed"]
    return rows.group_by(keys).aggregate(**sums) if keys else rows.aggregate(**sums)


def _hash(rows: ibis.Table, columns: Sequence[str], source: ibis.Table, **more: str) -> Any:
    """Return a hash of some columns of a row and of texts; null is a value of its own.

    Of the engine that has the table ``source``.
    """
    values = {name: rows[name] for name in sorted(columns)}
    row = ibis.struct(values | {name: ibis.literal(text) for name, text in more.items()})
    name, kind = ("hash", dt.uint64) if source.get_backend().name == "duckdb" else ("xxhash64", dt.int64)
    once = ibis.udf.scalar.builtin(_builtin, name=name, signature=((row.type(),), kind))
    # Hashes are added up, and sums of what an engine mixed column by column would meet too easily.
    again = ibis.udf.scalar.builtin(_builtin, name=name, signature=((kind,), kind))
    return again(once(row))


def _builtin(value: Any) -> Any:
    """Stand for a function that the engine has."""
