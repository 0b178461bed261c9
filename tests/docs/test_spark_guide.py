"""The page on Spark: its configurations are valid, and what it names is there."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from data.spark import validate_on_spark
from pipelines.batch import churn_scores
from pipelines.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "spark.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_configuration_asks_for_spark(block: str, tmp_path: Path) -> None:
    (tmp_path / "regulars.toml").write_text(block, encoding="utf-8")
    assert Settings.read(tmp_path / "regulars.toml").engine.kind == "spark"


def test_functions_are_there_and_are_called_by_their_parameters() -> None:
    for function in (validate_on_spark, churn_scores):
        assert f"{function.__module__}.{function.__name__}" in TEXT
    (call,) = [node for node in ast.walk(ast.parse(blocks("python")[0])) if isinstance(node, ast.Call)]
    assert [ast.unparse(one) for one in call.args] == list(inspect.signature(churn_scores).parameters)
