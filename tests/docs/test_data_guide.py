"""The guide to one's own data: every configuration is valid, every command is there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from data.contracts import CONTRACTS
from pipelines.cli import app
from pipelines.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs" / "data.md"
TEXT = GUIDE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.splitlines()[0])
def test_a_configuration_is_valid(block, tmp_path):
    (tmp_path / "regulars.toml").write_text(block, encoding="utf-8")
    Settings.read(tmp_path / "regulars.toml")


def test_every_table_is_there_with_what_it_requires():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", TEXT, re.MULTILINE)
    assert {name: set(columns.split(", ")) for name, columns in rows} == {
        name: {column.name for column in contract.columns if column.required} for name, contract in CONTRACTS.items()
    }


@pytest.mark.parametrize("line", "".join(blocks("console")).splitlines())
def test_a_command_is_there(line):
    words = shlex.split(line.removeprefix("$ "))
    command = get_command(app)
    assert words.pop(0) == "regulars"
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    n_required = sum(param.required for param in command.params if param.param_type_name == "argument")
    assert n_required <= len(words)


def test_paths_that_it_names_exist():
    named = re.findall(r"\]\(\.\./([^)#]+)\)", TEXT) + re.findall(r"`((?:data|pipelines|tests)/[\w/.]+)`", TEXT)
    assert [name for name in named if not (GUIDE.parents[1] / name).exists()] == []
