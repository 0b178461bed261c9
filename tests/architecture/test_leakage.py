"""No feature and no model can reach the labels: the imports say so."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The labels themselves; the flows join them to the features of a past as_of, which is what they are for.
ALLOWED = {"features/labels.py"}
CHECKED = [
    path
    for room in ("data", "features", "models")
    for path in sorted((ROOT / room).rglob("*.py"))
    if path.relative_to(ROOT).as_posix() not in ALLOWED
]


def label_imports(source: str) -> list[int]:
    """Return the lines on which a source imports the label module, or an import by a name made at run time."""
    hits = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["features" if node.level else "", node.module or ""]))
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        else:
            continue
        if "features.labels" in names:
            hits.append(node.lineno)
    return hits


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_before_the_flows_imports_the_labels(path: Path) -> None:
    hits = label_imports(path.read_text())
    # The registry names the module in order to refuse it.
    assert len(hits) == (path.name == "registry.py")


@pytest.mark.parametrize(
    "source",
    [
        "import features.labels",
        "import features.labels as truth",
        "from features import labels",
        "from features.labels import labels as y",
        "from . import labels",
        "from .labels import labels",
        "def f():\n    from features.labels import eligible",
        "import importlib\nimportlib.import_module('features.labels')",
    ],
)
def test_a_planted_import_is_seen(source: str) -> None:
    assert label_imports(source)


@pytest.mark.parametrize("source", ["labels = 3", "from features import views", "import models.labels_of_axes"])
def test_an_innocent_name_is_not(source: str) -> None:
    assert label_imports(source) == []
