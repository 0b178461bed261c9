"""Notebooks import and never define, keep no output, and run from the first cell to the last."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
PACKAGES = {"data", "features", "models", "pipelines"}


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def code(path: Path) -> ast.Module:
    return ast.parse("\n\n".join(cell.source for cell in cells(path, "code")))


def is_feature(node: ast.AST) -> bool:
    """Return whether a definition is a feature or a view, registered where it is written."""
    decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", ())]
    return len(decorators) == 1 and decorators[0].startswith(("mine.feature(", "mine.view("))


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == [
        *("01_tour.ipynb", "02_your_data.ipynb", "03_features.ipynb", "04_retention.ipynb")
    ]


@EVERY
def test_import_and_never_define(path):
    found = [node for node in ast.walk(code(path)) if isinstance(node, DEFINITIONS)]
    assert [ast.unparse(node) for node in found if not is_feature(node)] == []
    assert bool(found) == (path.stem == "03_features"), "features are defined where it is shown how"
    imported = {
        (node.module or "").split(".")[0]
        for node in ast.walk(code(path))
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert imported >= PACKAGES, "the rooms themselves are shown, not a copy of them"


@EVERY
def test_nothing_private_is_used(path):
    """What a notebook needs is public: a name with an underscore may change any day."""
    names = [node.attr for node in ast.walk(code(path)) if isinstance(node, ast.Attribute)]
    names += [alias.name for node in ast.walk(code(path)) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert [name for name in names if name.startswith("_") and not name.endswith("__")] == []


@EVERY
def test_no_output_is_kept(path):
    """Catalogue row G11: outputs of real data stay out of the repository, and so do paths of a machine."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in cells(path, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert cell.metadata == {}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert "/home/" not in path.read_text(encoding="utf-8")


@EVERY
def test_a_word_stands_before_every_section(path):
    kinds = "".join(cell.cell_type[0] for cell in nbformat.read(path, as_version=4).cells)
    assert kinds.startswith("m")
    assert "ccc" not in kinds, "at most two cells of code in a row"


@pytest.mark.slow
@EVERY
def test_every_cell_runs(path, tmp_path, monkeypatch):
    """In an empty folder, so that it makes what it needs; a night that is there already is only picked up."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(path, as_version=4)
    here = tmp_path / "here"
    here.mkdir()
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(here)}}).execute()
    told = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output for output in told if output.output_type == "error" or output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in told) >= 3, "plots are drawn"
    reports = [file.name for file in (here / "var" / "demo" / "reports").rglob("report.html")]
    assert len(reports) == (path.stem == "01_tour"), "only a night writes a report"
