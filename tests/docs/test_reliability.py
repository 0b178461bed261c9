"""The table of faults names every row that it promises, and tests that are there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
ROWS = [f"D{n}" for n in range(1, 14)] + ["C8", "C9", "C16"] + [f"G{n}" for n in (*range(1, 9), 12, 13)] + ["O4"]
ROWS += [f"L{n}" for n in range(1, 13)] + ["R1", "R2", "R3"]


def rows() -> dict[str, list[str]]:
    """Return the cells of each row of the table by its name."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [A-Z]\d+ \|", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def named() -> Iterator[tuple[str, str, str]]:
    for row, cells in rows().items():
        for path, test in re.findall(r"`([\w/.]+)::(\w+)`", cells[-1]):
            yield row, path, test


def test_every_row_is_there_with_its_fault_its_promise_and_its_figure():
    found = rows()
    assert [row for row in ROWS if row not in found] == []
    for row, cells in found.items():
        assert len(cells) == 4, row
        assert all(cells), row
        assert re.search(r"\d|every|equal", cells[2]), f"{row} has no figure"


def test_every_row_has_a_test():
    assert {row for row, _, _ in named()} == set(rows())


@pytest.mark.parametrize(("row", "path", "test"), list(named()))
def test_each_test_that_is_named_is_in_the_repository(row, path, test):
    assert (ROOT / path).is_file(), row
    assert re.search(rf"def {test}\(", (ROOT / path).read_text(encoding="utf-8")), row
