"""Every error that a user may see: an exit code of its own, and three parts that say what to do. Catalogue row O10."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data.errors import UserError

ROOT = Path(__file__).parents[2]
PACKAGES = ("data", "features", "models", "pipelines")


def error_classes() -> list[type[UserError]]:
    """Return every subclass, wherever it is defined."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            importlib.import_module(module.name)
    found: list[type[UserError]] = [UserError]
    for error in found:
        found += error.__subclasses__()
    return found


NAMES = {error.__name__ for error in error_classes()}


def places() -> list[tuple[str, ast.Call]]:
    """Return every place in the packages that makes such an error."""
    return [
        (f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", node)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES
    ]


PLACES = places()


def written(part: ast.expr) -> str:
    """Return the letters that a part always has, whatever is filled in."""
    return "".join(str(node.value) for node in ast.walk(part) if isinstance(node, ast.Constant))


def test_there_are_places_to_look_at():
    assert len(PLACES) > 30


@pytest.mark.parametrize(("place", "call"), PLACES, ids=[place for place, _ in PLACES])
def test_an_error_says_what_was_found_what_is_allowed_and_what_to_do(place, call):
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    parts = [*call.args, *(named[name] for name in ("found", "expected", "action") if name in named)]
    assert len(parts) == 3, f"{place} has {len(parts)} parts"
    found, expected, action = parts
    for part in parts:
        assert not written(part).endswith("."), f"{place}: {written(part)!r} is only a part of the sentence"
        assert not (isinstance(part, ast.Constant) and not str(part.value).strip()), f"{place}: an empty part"
    if isinstance(action, ast.Constant):
        verb = str(action.value).split()[0]
        assert re.fullmatch(r"[a-z`][a-z`]+,?", verb), f"{place}: {verb!r} does not begin with what to do"
        assert str(action.value) not in {written(found), written(expected)}


def test_every_kind_of_error_has_an_exit_code_of_its_own():
    codes = {error.__name__: error.exit_code for error in error_classes()}
    assert [code for code, n in Counter(codes.values()).items() if n > 1] == []
    # 0 is success, 2 to 63 are ours, 64 and up belong to shells and signals; 1 is any other failure.
    assert all(0 < code < 64 for code in codes.values())


def test_every_kind_of_error_is_raised_somewhere():
    used = {call.func.id for _, call in PLACES if isinstance(call.func, ast.Name)}
    assert NAMES - used == set()


def test_every_kind_of_error_has_words_of_its_own():
    docs = [(error.__doc__ or "").strip() for error in error_classes()]
    assert all(docs)
    assert len(set(docs)) == len(docs)


def test_the_three_parts_can_be_read_apart_and_together():
    error = UserError("a text", "a number", "correct it")
    assert (error.found, error.expected, error.action) == ("a text", "a number", "correct it")
    assert str(error) == "found: a text; expected: a number; do: correct it"


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_the_command_ends_with_the_errors_own_code_and_one_line(error):
    code = (
        "import sys, pipelines.cli as cli\n"
        f"from {error.__module__} import {error.__name__} as Broken\n"
        "def app(): raise Broken('[bold]x', 'y', 'z')\n"
        "cli.app = app\n"
        "cli.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == error.exit_code
    assert ended.stderr == "found: [bold]x; expected: y; do: z\n"
    assert ended.stdout == ""
