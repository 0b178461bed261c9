"""The bars of the house: sizes, documentation, and what may never stand in the code. Prints the figures it holds."""

import ast
import io
import re
import statistics
import subprocess
import tokenize
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data", "features", "models", "pipelines")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def n_lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Count the lines of a definition without its docstring: documentation is no reason to be split."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    has_docstring = ast.get_docstring(node) is not None
    return length - ((first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0)


def functions() -> dict[str, int]:
    return {
        f"{name(path)}:{node.name}": n_lines(node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTION)
    }


def code_lines(paths: list[Path]) -> int:
    """Count the lines that hold code: without blanks, comments and docstrings, which are no reason for more tests."""
    total = 0
    for path in paths:
        text = path.read_text()
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _NO_CODE:
                lines |= set(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTION)) and ast.get_docstring(node) is not None:
                lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        total += len(lines)
    return total


_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def test_sizes(capsys):
    files = {name(path): len(path.read_text().splitlines()) for path in SOURCES}
    lengths = functions()
    classes = {
        f"{name(path)}:{node.name}": n_lines(node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    median = statistics.median(lengths.values())
    p90 = statistics.quantiles(lengths.values(), n=10)[-1]
    ratio = code_lines(TESTS) / code_lines(SOURCES)
    with capsys.disabled():
        print(
            f"\nhouse: {len(files)} files, median {statistics.median(files.values()):.0f},"
            f" max {max(files.values())} lines;"
            f" {len(lengths)} functions, median {median:.0f}, p90 {p90:.0f}, max {max(lengths.values())};"
            f" largest class {max(classes.values())}; test : code {ratio:.2f}"
        )
    assert {file: n for file, n in files.items() if n > 400} == {}
    assert sum(n > 300 for n in files.values()) <= len(files) * 0.1, "more than a tenth of the files over 300 lines"
    assert median <= 12
    assert p90 <= 35
    assert {function: n for function, n in lengths.items() if n > 60} == {}
    assert {cls: n for cls, n in classes.items() if n > 150} == {}
    assert ratio >= 1.2


def public_definitions() -> list[tuple[str, ast.AST]]:
    found: list[tuple[str, ast.AST]] = [(name(path), tree) for path, tree in TREES.items()]
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, (*FUNCTION, ast.ClassDef)) and not node.name.startswith("_"):
                found.append((f"{name(path)}:{node.name}", node))
                members = node.body if isinstance(node, ast.ClassDef) else []
                found += [
                    (f"{name(path)}:{node.name}.{member.name}", member)
                    for member in members
                    if isinstance(member, (*FUNCTION, ast.ClassDef)) and not member.name.startswith("_")
                ]
    return found


def test_everything_public_has_a_docstring():
    assert [where for where, node in public_definitions() if not ast.get_docstring(node)] == []


def test_every_ignored_type_says_which():
    bare = [name(path) for path in SOURCES if re.search(r"type: ignore(?!\[)", path.read_text())]
    assert bare == []


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


class TestForbidden:
    def test_no_pickle_in_any_form(self):
        """Catalogue row P7."""
        banned = {"pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve"}
        hits = [
            f"{name(path)}:{node.lineno}"
            for path, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            and banned
            & {part.split(".")[0] for part in [getattr(node, "module", "") or "", *(a.name for a in node.names)]}
        ]
        assert hits == []

    def test_no_clock_and_no_unseeded_chance(self):
        """Catalogue row R3: the clock and the seed are passed in. Only the command may ask what day it is."""
        banned = re.compile(
            r"(datetime|date|pd\.Timestamp|Timestamp)\.(now|today|utcnow)$|^time\.time$|^ibis\.(now|today|random|uuid)$"
            r"|^random\.|np\.random\.(rand|randn|randint|seed|choice|shuffle|normal|uniform)$|default_rng$"
        )
        hits = [
            f"{name(path)}:{call.lineno} {function}"
            for path, tree in TREES.items()
            for function, call in calls(tree)
            if banned.search(function)
            and not (function.endswith("default_rng") and call.args)
            and name(path) != "pipelines/cli.py"
            and not name(path).startswith("pipelines/commands/")
        ]
        assert hits == []

    def test_no_random_split(self):
        """Catalogue row L5: observations are split by time and by customer, never at random."""
        banned = {"train_test_split", "ShuffleSplit", "KFold", "StratifiedKFold", "StratifiedShuffleSplit"}
        used = {
            f"{name(path)}:{node.id}"
            for path, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id in banned
        }
        # Cross-fitting within one campaign, and folds of a flat table with a label: one row per customer at one
        # instant, so there is no order of time to break.
        assert used - {"models/effects.py:StratifiedKFold", "models/folds.py:StratifiedKFold"} == set()

    def test_rows_have_a_total_order_before_one_is_taken(self):
        hits = [
            f"{name(path)}:{call.lineno} {function}"
            for path, tree in TREES.items()
            for function, call in calls(tree)
            if re.search(r"\.(argmax|argmin|first|last|arbitrary|any_value)$", function)
            and name(path).startswith("features/")
        ]
        assert hits == []


class TestRooms:
    def test_top_level_names_are_ours(self):
        for package in (*PACKAGES, "tests"):
            owners = set(metadata.packages_distributions().get(package, [])) - {"regulars"}
            assert owners == set(), f"{package} is also installed by {owners}"

    def test_no_package_hides_under_tests(self):
        assert [name(path) for path in TESTS if path.name == "__init__.py"] == []

    def test_packages_are_listed_as_they_are(self):
        listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
        there = {name(path.parent).replace("/", ".") for path in SOURCES if path.name == "__init__.py"}
        assert set(listed) == there

    @pytest.mark.parametrize("file", ["requirements.lock", "pyproject.toml", "Makefile", "README.md", ".ci/run"])
    def test_no_index_address_enters_the_repository(self, file):
        text = (ROOT / file).read_text().replace("--no-emit-index-url", "")
        assert not re.search(r"index-url|find-links|--extra-index|file://|https?://[^ ]*simple", text)

    def test_no_data_file_and_no_secret_is_tracked(self):
        """Catalogue row G11."""
        tracked = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        data_files = [file for file in tracked if re.search(r"\.(parquet|csv|gz|db|duckdb|xlsx|skops|pkl|env)$", file)]
        assert data_files == []
        text = "\n".join((ROOT / file).read_text(errors="ignore") for file in tracked if (ROOT / file).is_file())
        assert not re.search(r"(?i)(api[_-]?key|secret|password)\s*[:=]\s*['\"][A-Za-z0-9/+]{12,}", text)
