"""Both pages in a real browser: no sideways scrolling on a phone, and the table of features can be searched."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

from pipelines.catalogue import measure
from pipelines.portrait import portrait
from pipelines.report.catalogue import catalogue_page
from pipelines.report.portrait import portrait_page

pytestmark = pytest.mark.slow

_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")
_PROBE = """<body style="margin:0">
<iframe id="f" src="page.html" style="width:{width}px;height:2000px;border:0"></iframe>
<pre id="out"></pre><script>
document.getElementById("f").addEventListener("load", (event) => {{
  const page = event.target.contentDocument, told = {{}};
  told.width = page.documentElement.scrollWidth;
  const search = page.querySelector(".tools input"), table = page.getElementById("features");
  if (search) {{
    search.value = "rhythm"; search.dispatchEvent(new Event("input"));
    told.found = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[2].textContent);
  }}
  told.isOwned = Boolean(event.target.contentWindow.owned);
  document.getElementById("out").textContent = JSON.stringify(told);
}});</script></body>"""


@pytest.fixture
def probe(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: install it to test the pages in a browser")

    def look(text, width):
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        (tmp_path / "probe.html").write_text(_PROBE.format(width=width), encoding="utf-8")
        flags = (*_FLAGS, "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}")
        done = subprocess.run(
            [chromium, *flags, "--virtual-time-budget=4000", "--dump-dom", f"file://{tmp_path}/probe.html"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        (told,) = re.findall(r'<pre id="out">(.+?)</pre>', done.stdout)
        return json.loads(unescape(told))

    return look


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_features(probe, settings, width):
    told = probe(catalogue_page(measure(settings)), width)
    assert told["width"] <= width
    assert told["found"]
    assert set(told["found"]) <= {"Rhythm", "Recency"}
    assert not told["isOwned"]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_a_customer(probe, settings, made, width):
    told = probe(portrait_page(portrait(settings, made.customer_ids[0])), width)
    assert told["width"] <= width
    assert not told["isOwned"]
