"""Pseudonyms: keyed names for customers, made at the door, so that what is written holds no id of the company's own.

A pseudonym is an HMAC-SHA256 with a key that lies outside of the lake. A plain hash would be none: whoever knows how
ids look can hash them all. Pseudonymous data stay personal data; the key is what must be kept apart.
"""
# ruff: noqa: S608 - every name goes through quoted()

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data.contracts.base import quoted
from data.errors import ConfigError
from data.lake import Lake
from data.rewriting import rewrite, tables
from data.tombstones import bury, read_tombstones
from data.traces import is_text

_PREFIX = "p"
_N_CHARACTERS = 26
_LEAST_KEY_BYTES = 32
_SHAPE = rf"{_PREFIX}[a-z2-7]{{{_N_CHARACTERS}}}"
_LOOK = rf"\b{_SHAPE}\b"
_PURPOSE = b"regulars pseudonym\0"


class Privacy(BaseModel):
    """Whether customers go by pseudonyms, and where the key to them is.

    Parameters
    ----------
    pseudonyms
        Whether every ``customer_id`` is replaced when it is loaded, before anything is written.
    key_file
        File that holds the key: at least 32 bytes as hexadecimal digits or base64. Keep it out of the root.
    key_variable
        Instead of a file: the name of the environment variable that holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pseudonyms: bool = False
    key_file: Path | None = None
    key_variable: str | None = Field(default=None)

    @field_validator("key_variable", mode="before")
    @classmethod
    def _is_a_name(cls, value: object) -> object:
        # Whatever stands here may be the key, so that no message repeats it.
        if value is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", str(value)):
            raise ConfigError(
                "key_variable under [privacy] is no name of an environment variable",
                "a name such as REGULARS_KEY; the key itself never stands in the configuration",
                "put the key into an environment variable, and the variable's name here",
            )
        return value

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if self.pseudonyms and (self.key_file is None) == (self.key_variable is None):
            msg = "pseudonyms need a key: give one of key_file and key_variable"
            raise ValueError(msg)
        return self


def read_key(privacy: Privacy, folder: Path, root: Path) -> bytes | None:
    """Return the key to the pseudonyms, or None where customers go by their own ids.

    Parameters
    ----------
    privacy
        Where it is.
    folder
        Where a relative path begins.
    root
        Folder of everything that a run writes, whose lake and reports must not hold it.

    Raises
    ------
    ConfigError
        There is none, it is too short, or it lies with the data that it protects.
    """
    if not privacy.pseudonyms:
        return None
    if privacy.key_variable is not None:
        text, where = os.environ.get(privacy.key_variable, ""), f"environment variable {privacy.key_variable}"
    else:
        path = (folder / (privacy.key_file or "")).resolve()
        if path.is_relative_to(root.resolve()) and not path.is_relative_to(root.resolve() / "keys"):
            raise ConfigError(
                f"key_file lies in {root}, with the data that it protects",
                "a file elsewhere, or in its folder keys",
                "move it and name its new place under [privacy]",
            )
        text, where = path.read_text(encoding="utf-8") if path.is_file() else "", f"file {path}"
    key = _decoded(text.strip())
    if len(key) < _LEAST_KEY_BYTES:
        raise ConfigError(
            f"no key of {_LEAST_KEY_BYTES} bytes in {where}",
            f"at least {_LEAST_KEY_BYTES} random bytes as hexadecimal digits or base64",
            "make one with `python -c 'import secrets; print(secrets.token_hex(32))'`, and keep a copy of it",
        )
    return key


def pseudonym(key: bytes, customer_id: str) -> str:
    """Return the pseudonym of a customer: 27 lower-case letters and digits, the first of them a ``p``.

    Examples
    --------
    >>> pseudonym(b"k" * 32, "512") == pseudonym(b"k" * 32, " 512 ") != pseudonym(b"l" * 32, "512")
    True
    """
    digest = hmac.new(key, _PURPOSE + customer_id.strip().encode(), hashlib.sha256).digest()
    return _PREFIX + base64.b32encode(digest).decode("ascii").lower()[:_N_CHARACTERS]


def check_names(lake: Lake, privacy: Privacy) -> None:
    """Refuse a lake whose customers go by other names than the next night would give them.

    A customer has one name in a lake: under two, purchases would not find their customer any more.

    Raises
    ------
    ConfigError
        Pseudonyms were switched on over customers' own ids, or off over pseudonyms.
    """
    snapshot = lake.snapshot()
    if snapshot is None or "customers" not in snapshot.versions:
        return
    ids = lake.read("customers", version=snapshot.versions["customers"], columns=["customer_id"])["customer_id"]
    n_named = pc.sum(pc.match_substring_regex(ids, f"^{_SHAPE}$")).as_py() or 0
    if privacy.pseudonyms and n_named < len(ids):
        raise ConfigError(
            f"pseudonyms = true, but {len(ids) - n_named:,} customers in {lake.root} go by their own ids",
            "one kind of names in a lake, or no purchase would find its customer",
            "name a new root, whose first night reads the files anew under pseudonyms, and delete the old one after it",
        )
    if not privacy.pseudonyms and len(ids) and n_named == len(ids):
        raise ConfigError(
            f"no pseudonyms, but the {n_named:,} customers in {lake.root} go by pseudonyms",
            "one kind of names in a lake, or no purchase would find its customer",
            "set pseudonyms = true with their key under [privacy], or name a new root",
        )


def pseudonymise(connection: duckdb.DuckDBPyConnection, raw_table: str, key: bytes, column: str = "customer_id") -> str:
    """Return the name of a view on a raw table in which customers go by their pseudonyms.

    Each distinct id is digested once. The list of both stays in the memory of DuckDB and ends with the connection. A
    blank id stays as it is, so that its row is told as what it is. A table without the column is its own view.
    """
    columns = [row[0] for row in connection.execute(f"DESCRIBE {quoted(raw_table)}").fetchall()]
    if column not in columns:
        return raw_table
    text = f"CAST({quoted(column)} AS VARCHAR)"
    found = connection.execute(f"SELECT DISTINCT {text} AS own FROM {quoted(raw_table)} WHERE trim({text}) <> ''")
    own = found.to_arrow_table().column(0).to_pylist()
    names, view = f"{raw_table}__names", f"{raw_table}__pseudonymous"
    connection.register("names__", pa.table({"own": own, "name": [pseudonym(key, one) for one in own]}, _NAMES))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(names)} AS FROM names__")
    connection.unregister("names__")
    chosen = ", ".join(
        f"coalesce(names.name, {text}) AS {quoted(one)}" if one == column else f"raw.{quoted(one)}" for one in columns
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {quoted(view)} AS SELECT {chosen} FROM {quoted(raw_table)} AS raw "
        f"LEFT JOIN {quoted(names)} AS names ON CAST(raw.{quoted(column)} AS VARCHAR) = names.own"
    )
    return view


_NAMES = pa.schema({"own": pa.string(), "name": pa.string()})


def rotation(customer_ids: Iterable[str], old: bytes, new: bytes) -> Mapping[str, str]:
    """Return the pseudonyms of customers under an old key, each with the one under a new key.

    Only the holder of both keys and of the ids can say this; a pseudonym alone leads nowhere.
    """
    return {pseudonym(old, one): pseudonym(new, one) for one in customer_ids}


def rotate(root: Path, lake_root: Path, names: Mapping[str, str]) -> int:
    """Give every customer of a root their new pseudonym, tombstones included, and return the data files rewritten.

    Hold the lake's lock. What a crash leaves is finished by the same call. Reports of past nights keep the old names.

    Parameters
    ----------
    root
        Folder of everything that a run writes.
    lake_root
        Folder of its lake.
    names
        From ``rotation``, erased customers included, or they would come back under their new names.
    """
    known = read_tombstones(root)
    if known is not None:
        bury(root, [names[old] for old in known.among(names)])
    return sum(rewrite(folder, _Rename(names)).n_files for folder in tables(lake_root))


class _Rename:
    """An edit that replaces old pseudonyms wherever they stand in a text: no other word looks like one."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def columns(self, schema: pa.Schema) -> list[str]:
        return [field.name for field in schema if is_text(field.type)]

    def __call__(self, rows: pa.Table) -> pa.Table:
        for name in self.columns(rows.schema):
            known = pc.unique(rows[name])
            looks = known.filter(pc.fill_null(pc.match_substring_regex(known, _LOOK), False)).to_pylist()
            new = {text: re.sub(_LOOK, self._new, text) for text in looks}
            if changed := {text: now for text, now in new.items() if text != now}:
                place = pc.index_in(rows[name], pa.array(list(changed), pa.string()))
                values = pc.coalesce(pc.take(pa.array(list(changed.values()), pa.string()), place), rows[name])
                rows = rows.set_column(rows.column_names.index(name), rows.field(name), values)
        return rows

    def _new(self, found: re.Match[str]) -> str:
        return self._names.get(found[0], found[0])


def _decoded(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
