"""Tables that change over the nights: instants to the microsecond, columns that come and go, names of any kind."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data import delta
from data.engine import attach, connect
from data.errors import LakeError
from data.lake import FINGERPRINT, Lake

MONDAY = datetime.fromisoformat("2018-01-01T05:00")
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def night(as_of: datetime, n: int = 1, **columns: list[Any] | pa.Array) -> pa.Table:
    return pa.table({"as_of": pa.array([as_of] * n, pa.timestamp("us")), **columns})


def write(lake: Lake, table: str, rows: pa.Table, *, whole: bool = False) -> int:
    as_of = None if whole else rows["as_of"][0].as_py()
    return lake.write(table, rows, as_of=as_of, fingerprint="f")


INSTANTS = [MONDAY + timedelta(microseconds=n) for n in (0, 1, 999, 1000, 1001, 500_500, 999_999)]
INSTANTS += [datetime(1, 1, 1), datetime(1500, 1, 1, 0, 0, 0, 1), datetime(1969, 12, 31, 23, 59, 59, 999_999)]
INSTANTS += [datetime(1970, 1, 1), datetime(2300, 1, 1, 0, 0, 0, 7), datetime(9999, 12, 31, 23, 59, 59, 999_999)]


def test_a_slice_is_found_by_its_instant_to_the_microsecond(lake):
    """Delta's statistics know milliseconds only: slices beside each other must not hide or replace each other."""
    for number, as_of in enumerate(INSTANTS):
        write(lake, "t", night(as_of, 2, x=[number, number]))
    for number, as_of in enumerate(INSTANTS):
        assert lake.read("t", as_of=as_of)["x"].to_pylist() == [number, number], as_of
    assert lake.read("t").num_rows == 2 * len(INSTANTS)
    found = lake.read("t")["as_of"].to_pylist()
    assert sorted(found) == sorted(as_of for as_of in INSTANTS for _ in range(2))
    seconds = [as_of.replace(microsecond=0) for as_of in found]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("as_of", INSTANTS, ids=str)
def test_a_slice_written_again_replaces_itself_and_not_its_neighbour(lake, as_of):
    neighbour = as_of - MICROSECOND if as_of > datetime(9000, 1, 1) else as_of + MICROSECOND
    for at, values in ((as_of, [1, 2]), (neighbour, [3]), (as_of, [4, 5, 6])):
        write(lake, "t", night(at, len(values), x=values))
    assert sorted(lake.read("t")["x"].to_pylist()) == [3, 4, 5, 6]
    assert lake.read("t", as_of=as_of)["x"].to_pylist() == [4, 5, 6]
    assert lake.read("t", as_of=as_of, version=0)["x"].to_pylist() == [1, 2]


def test_an_instant_without_a_slice_has_no_rows(lake):
    write(lake, "t", night(MONDAY, x=[1]))
    for as_of in (MONDAY - MICROSECOND, MONDAY + MICROSECOND, MONDAY + DAY):
        assert lake.read("t", as_of=as_of).num_rows == 0


def test_columns_may_come_in_another_order_and_keep_the_first_one(lake):
    write(lake, "t", night(MONDAY, x=[1], y=["a"]))
    write(lake, "t", night(MONDAY + DAY, z=[0.5], y=["b"], x=[2]).select(["z", "y", "as_of", "x"]))
    assert lake.read("t").column_names == ["as_of", "x", "y", "z"]
    assert lake.read("t").drop_columns("as_of").to_pylist() == [
        {"x": 1, "y": "a", "z": None},
        {"x": 2, "y": "b", "z": 0.5},
    ]


def test_an_empty_slice_may_bring_a_column(lake):
    write(lake, "t", night(MONDAY, x=[1]))
    lake.write(
        "t",
        night(MONDAY, 0, x=pa.array([], pa.int64()), y=pa.array([], pa.bool_())),
        as_of=MONDAY + DAY,
        fingerprint="f",
    )
    assert lake.schema("t").field("y").type == pa.bool_()
    assert lake.read("t").to_pylist() == [{"as_of": MONDAY, "x": 1, "y": None}]


def test_a_column_that_is_gone_and_comes_back_means_what_it_meant(lake):
    versions = [
        write(lake, "t", night(MONDAY + n * DAY, **columns))
        for n, columns in enumerate(({"x": [1], "y": ["a"]}, {"x": [2]}, {"y": ["c"], "x": [3]}))
    ]
    assert lake.read("t")["y"].to_pylist() == ["a", None, "c"]
    assert [lake.schema("t", version).names for version in versions] == [["as_of", "x", "y"]] * 3
    with pytest.raises(LakeError, match=r"t\.y comes as int64"):
        write(lake, "t", night(MONDAY, y=[7]))


def test_a_table_replaced_whole_forgets_its_columns_but_old_versions_do_not(lake):
    write(lake, "t", pa.table({"x": [1], "y": ["a"]}), whole=True)
    write(lake, "t", pa.table({"z": [True]}), whole=True)
    write(lake, "t", pa.table({"y": [2.5]}), whole=True)
    assert [lake.read("t", version=n).to_pylist() for n in range(3)] == [
        [{"x": 1, "y": "a"}],
        [{"z": True}],
        [{"y": 2.5}],
    ]


def test_whole_and_by_slices_can_follow_each_other(lake):
    write(lake, "t", pa.table({"as_of": pa.array([MONDAY, MONDAY + DAY], pa.timestamp("us")), "x": [1, 2]}), whole=True)
    write(lake, "t", night(MONDAY, x=[3]))
    assert sorted(lake.read("t")["x"].to_pylist()) == [2, 3]
    write(lake, "t", night(MONDAY, x=[4]), whole=True)
    assert lake.read("t")["x"].to_pylist() == [4]


@pytest.mark.parametrize(
    "names", [["x", "x"], ["x", "X"], ["straße", "STRASSE"], ["x", ""]], ids=["twice", "case", "folded", "none"]
)
def test_names_that_stand_for_one_column_are_refused(lake, names):
    with pytest.raises(LakeError, match=r"has a column .* beside .*rename one of them"):
        write(lake, "t", pa.table([pa.array([1]), pa.array([2])], names=names), whole=True)
    assert not lake.has("t")


def test_a_slice_cannot_respell_a_column_but_a_whole_table_can(lake):
    write(lake, "t", night(MONDAY, income=[1]))
    with pytest.raises(LakeError, match="'Income' beside 'income'"):
        write(lake, "t", night(MONDAY + DAY, Income=[2]))
    write(lake, "t", night(MONDAY, Income=[2]), whole=True)
    assert lake.read("t").column_names == ["as_of", "Income"]


@pytest.mark.parametrize(
    "name",
    ["a b", "a.b", "a,b", "a;b", "a{b}", "a(b)", "a\nb", "a=b", "a\tb", 'a"b', "a`b", "é", "100 %", "a/b", "x" * 300],
)
def test_a_column_may_have_any_name_for_lake_and_engine_alike(lake, name):
    rows = night(MONDAY, 2, **{name: [1, None]})
    version = write(lake, "t", rows)
    assert lake.read("t").equals(rows)
    assert lake.read("t", columns=[name]).column_names == [name]
    backend = connect(1)
    assert attach(backend, lake, {"t": version})["t"].to_pyarrow().equals(rows)
    backend.disconnect()


def test_the_ends_of_the_numbers_and_odd_texts_come_back(lake):
    rows = pa.table(
        {
            "cents": pa.array([2**63 - 1, -(2**63), None]),
            "share": pa.array([float("inf"), float("-inf"), 5e-324]),
            "text": ["nul \x00", 'it\'s "q"\r\n', "🙂" * 1000],
        }
    )
    write(lake, "t", rows, whole=True)
    assert lake.read("t").equals(rows)


@pytest.mark.parametrize("fingerprint", ['it\'s "f"\n', "", "x" * 5000, "日本", '{"commitInfo": 1}'])
def test_any_fingerprint_is_found_again(lake, fingerprint):
    lake.write("t", pa.table({"x": [1]}), as_of=None, fingerprint=fingerprint)
    lake.write("t", pa.table({"x": [2]}), as_of=None, fingerprint="another")
    assert lake.find("t", fingerprint) == 0
    assert [info[FINGERPRINT] for _, info in delta.commits(lake.root / "t")] == ["another", fingerprint]


def test_a_table_without_columns_is_refused_and_leaves_nothing_behind(lake):
    with pytest.raises(LakeError, match="cannot write t"):
        lake.write("t", pa.table({}), as_of=None, fingerprint="f")
    assert not lake.has("t")
    write(lake, "t", pa.table({"x": [1]}), whole=True)
    assert lake.read("t").num_rows == 1
