"""The page in a real browser: it draws, sorts, filters, and does not run what came in with the data."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.report.night import Night
from pipelines.report.page import page

pytestmark = pytest.mark.slow

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
)

# A page around the report, because a window cannot be as narrow as a phone; it may touch what is inside.
_PROBE = """<body style="margin:0">
<iframe id="f" src="report.html" style="width:{width}px;height:3000px;border:0"></iframe>
<pre id="out"></pre><script>
document.getElementById("f").addEventListener("load", (event) => {{
  const page = event.target.contentDocument, told = {{}};
  const table = page.getElementById("contacts"), tools = page.querySelector(".tools[data-for=contacts]");
  const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const values = () => rows().map((row) => Number(row.cells[3].dataset.v));
  told.width = page.documentElement.scrollWidth;
  told.hasScript = page.documentElement.classList.contains("js");
  told.first = rows().length;
  table.parentElement.parentElement.querySelector(".more").click();
  told.all = rows().length;
  const head = table.tHead.rows[0].cells[3];
  head.querySelector("button").click();
  told.ascending = values();
  head.querySelector("button").click();
  told.descending = values();
  told.sorted = head.getAttribute("aria-sort");
  const search = tools.querySelector("input"), choice = tools.querySelector("select");
  choice.value = "Retain";
  choice.dispatchEvent(new Event("change"));
  told.retained = [...new Set(rows().map((row) => row.cells[2].querySelector(".v").textContent))];
  choice.value = "";
  search.value = "no such customer";
  search.dispatchEvent(new Event("input"));
  told.none = rows().length;
  told.output = tools.querySelector("output").textContent;
  told.isOwned = Boolean(event.target.contentWindow.owned);
  told.font = getComputedStyle(page.querySelector("td.n")).fontVariantNumeric;
  document.getElementById("out").textContent = JSON.stringify(told);
}});
</script></body>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine: install it to test the page in a browser")
    return found


@pytest.fixture(scope="module")
def folder(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("browser")
    attack = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>"
    owners = night.actions["owner"].mask(night.actions["priority"] < 50, attack)
    hostile = replace(night, actions=night.actions.assign(owner=owners))
    (where / "report.html").write_text(page(hostile), encoding="utf-8")
    return where


def _run(chromium: str, folder: Path, *flags: str, file: str) -> str:
    command = [chromium, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, (folder / file).as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout


def _probe(chromium: str, folder: Path, width: int) -> dict[str, Any]:
    (folder / "probe.html").write_text(_PROBE.format(width=width), encoding="utf-8")
    dom = _run(chromium, folder, "--virtual-time-budget=5000", "--dump-dom", file="probe.html")
    found = re.search(r'<pre id="out">(.+?)</pre>', dom)
    assert found, "the page did not load"
    return dict(json.loads(unescape(found.group(1))))


@pytest.mark.parametrize("width", [400, 1280])
def test_tables_sort_filter_and_open_and_nothing_scrolls_sideways(chromium: str, folder: Path, width: int) -> None:
    told = _probe(chromium, folder, width)
    assert told["width"] <= width
    assert told["hasScript"], "the policy blocked our own script"
    assert told["first"] == 20 < told["all"]
    assert told["ascending"] == sorted(told["ascending"])
    assert told["descending"] == sorted(told["descending"], reverse=True)
    assert len(told["descending"]) == told["all"]
    assert told["sorted"] == "descending"
    assert told["retained"] == ["Retain"]
    assert told["none"] == 0
    assert told["output"] == f"0 of {told['all']}"
    assert not told["isOwned"]
    assert "tabular-nums" in told["font"]


@pytest.mark.parametrize(("name", "paper"), [("light", (251, 250, 248)), ("dark", (19, 23, 25))])
def test_the_page_draws_in_light_and_dark(chromium: str, folder: Path, name: str, paper: tuple[int, int, int]) -> None:
    target = folder / f"{name}.png"
    scheme = f"--blink-settings=preferredColorScheme={0 if name == 'dark' else 1}"
    _run(chromium, folder, "--window-size=1280,2400", scheme, f"--screenshot={target}", file="report.html")
    with Image.open(target) as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    common = max(colours)
    assert common[1] == paper
    assert len(colours) > 100
    assert common[0] < 0.99 * 1280 * 2400
