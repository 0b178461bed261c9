"""The README does what it says: its commands run, its blocks execute, its paths exist."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from PIL import Image

from data.contracts import CONTRACTS
from data.contracts.base import Delivery, Reject, Rows
from data.contracts.rules import between
from data.simulator import simulate
from pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = sorted(ROOT.glob("*.md"))
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = "".join(blocks("console")).splitlines()
    assert all(line.startswith("$ ") for line in lines), "console blocks hold commands only"
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


def run(command: list[str], folder: Path) -> str:
    """Run a command of the README in a folder as a user would, with Prefect's state kept there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "MLFLOW"))}
    environment |= {"HOME": str(folder), "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def corner_shop(tmp_path_factory) -> Path:
    """Return a folder with the exports of a small simulated shop."""
    folder = tmp_path_factory.mktemp("corner-shop")
    (folder / "exports").mkdir()
    for name, table in simulate(seed=3, n_customers=400).tables.items():
        duckdb.from_arrow(table).write_csv(str(folder / "exports" / f"{name}.csv"))
    return folder


def decide(folder: Path) -> None:
    """Put what the README decides into the configuration that ``init`` wrote, in the place of what it proposed."""
    (block,) = blocks("toml")
    parts = re.split(r"^(?=\[)", (folder / "regulars.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    kept = [part for part in parts[1:] if part.partition("]")[0].strip("[") not in tomllib.loads(block)]
    (folder / "regulars.toml").write_text("\n".join([block, *kept]), encoding="utf-8")


class TestText:
    def test_it_is_short(self):
        assert len(README.splitlines()) <= 150

    @pytest.mark.parametrize("path", GUIDES, ids=[path.name for path in GUIDES])
    def test_every_path_exists(self, path):
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"\]\(([^)#]+)\)", text)
        named += [word for word in re.findall(r"`([\w./*-]+)`", text) if is_path(word)]
        missing = [name for name in named if "://" not in name and not list(ROOT.glob(name.rstrip("/")))]
        assert missing == []

    @pytest.mark.parametrize("path", GUIDES, ids=[path.name for path in GUIDES])
    def test_every_target_exists(self, path):
        named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", path.read_text(encoding="utf-8")))
        assert named <= MAKE_TARGETS

    @pytest.mark.parametrize("path", GUIDES, ids=[path.name for path in GUIDES])
    def test_it_speaks_of_regulars_alone(self, path):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"/(?:home|root|tmp|work)/|localhost:\d|#\d{1,4}\b", text) == []

    def test_the_picture_is_light(self):
        path = ROOT / "docs" / "report.png"
        assert path.stat().st_size < 200_000
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width >= 1000

    def test_every_word_of_the_glossary_is_used(self):
        glossary = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
        code = "\n".join(
            path.read_text(encoding="utf-8")
            for package in ("data", "features", "models", "pipelines")
            for path in (ROOT / package).rglob("*.py")
        )
        words = {word for word in re.findall(r"`([\w]+)`", glossary) if not word.startswith("_")}
        assert [word for word in sorted(words) if not re.search(rf"(?i)\b{word.rstrip('_')}", code)] == []


def is_path(word: str) -> bool:
    """Say whether a word in backticks names a file or folder of the checkout: those of a run do not count."""
    first = word.split("/", maxsplit=1)[0]
    folders = {"data", "features", "models", "pipelines", "notebooks", "tests", "docs", ".ci"}
    return ("/" in word and first in folders) or bool(re.fullmatch(r"(\w+\.(md|lock)|pyproject\.toml|Makefile)", word))


class TestCommands:
    def test_all_commands_are_tested(self):
        programs = {Path(command[0]).name for command in commands()}
        assert programs == {"make", "regulars"}

    @pytest.mark.parametrize(
        ("target", "expected"), [("demo", ".venv/bin/regulars demo"), ("report", ".venv/bin/regulars report")]
    )
    def test_a_target_runs_the_command_of_its_name(self, target, expected):
        planned = subprocess.run(
            ["make", "--no-print-directory", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert planned.splitlines()[-1] == expected

    def test_the_test_target_checks_and_tests(self):
        planned = subprocess.run(
            ["make", "--no-print-directory", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
            assert tool in planned

    @pytest.mark.slow
    def test_a_night_of_ones_own_runs(self, corner_shop):
        """The configuration, the commands and the code in the order of the README, on a shop that nobody has seen."""
        here = Path(sys.executable).parent
        for command in commands():
            if command[0] == "make":
                continue
            told = run([str(here / Path(command[0]).name), *command[1:]], corner_shop)
            if command[1] == "init":
                assert "regulars check" in told
                decide(corner_shop)
            else:
                assert all(words in told for words in SAYS.get(command[1], ("Corner Shop", "Contacts")))
        printed = run([sys.executable, "-c", "".join(blocks("python")) + VALUES_OF_THE_FEATURE], corner_shop)
        assert "expected_net_value_cents" in printed
        assert "candidate chosen" in printed
        assert "scores@0 · actions@0" in printed
        assert json.loads(printed.splitlines()[-1]) == {"c1": 1, "c2": 0}


SAYS = {"check": ("Corner Shop", "What sells together?"), "features": ("gap_median_days", "9 features.")}
"""What a command prints, where it is not the summary of a night."""

VALUES_OF_THE_FEATURE = """
import json
from datetime import datetime
from features.matrix import feature_matrix, to_frame

day = datetime(2024, 5, 1, 12)
columns = {"customer_id": ["c1", "c1", "c2"], "order_id": ["a", "b", "c"], "quantity": [1, -1, 1]}
columns |= {"amount_cents": [500, -500, 500], "discount_cents": [0] * 3, "coupon_cents": [0] * 3, "store_id": ["s"] * 3}
lines = ibis.memtable(columns | {name: [day] * 3 for name in ("event_time", "known_at", "local_time")})
frame = to_frame(feature_matrix({"transactions": lines}, [datetime(2024, 5, 2)], "UTC", ["n_returns_28d"]))
print(json.dumps(dict(zip(frame["customer_id"], frame["n_returns_28d"].tolist()))))
"""


class TestBlocks:
    def test_the_configuration_is_valid(self, tmp_path):
        (tmp_path / "regulars.toml").write_text(blocks("toml")[0], encoding="utf-8")
        settings = Settings.read(tmp_path / "regulars.toml")
        assert settings.company.name == "Corner Shop"
        given = tomllib.loads(blocks("toml")[0])
        dumped = settings.model_dump(mode="json")
        for section, values in given.items():
            assert values == dumped[section] or values.items() <= dumped[section].items()

    def test_the_expectation_finds_its_bad_row(self):
        (call,) = re.findall(r"`(between\(.*?\))`", README, re.DOTALL)
        (bad,) = re.findall(r"`(Reject\(.*?\))`", README, re.DOTALL)
        rule = eval(" ".join(call.split()), {"between": between})
        reject = eval(" ".join(bad.split()), {"Reject": Reject})
        assert reject.breaks == rule.name
        contract = CONTRACTS["transactions"]
        assert set(reject.changes) <= {column.name for column in contract.columns}
        predicate = rule.predicate(Rows("lines", Delivery(datetime(2024, 5, 1)), {}))
        assert predicate == 'coalesce(("discount_cents" >= 0), true)'

    def test_the_recipes_name_what_is_there(self):
        train, judge = ((ROOT / "pipelines" / f"{name}.py").read_text(encoding="utf-8") for name in ("train", "judge"))
        assigned = {ast.unparse(node.targets[0]) for node in ast.walk(ast.parse(judge)) if isinstance(node, ast.Assign)}
        assert {"_SAYS", "_JUDGES"} <= assigned
        annotated = [ast.unparse(node.target) for node in ast.walk(ast.parse(train)) if isinstance(node, ast.AnnAssign)]
        assert "models" in annotated
