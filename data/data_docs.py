"""Great Expectations' Data Docs beside a run: one static page for each contract, and an index of them.

The pages are made by Great Expectations' own renderers and templates from what its suites returned. Theirs load style,
script, font and logo from seven hosts; these load nothing and run nothing: a style of a few lines stands in the page.
Lost with the scripts are the sorting and filtering of the index and the folding of details, which stand open instead.
Counts go in, and no value of a row: what a result holds beyond counts is dropped before a page is made.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from jinja2 import ChoiceLoader, DictLoader

from data.private import private_folder, write_private
from data.validation import Seen

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # as in data.validation
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.render.components import (
        RenderedDocumentContent,
        RenderedHeaderContent,
        RenderedSectionContent,
        RenderedStringTemplateContent,
        RenderedTableContent,
    )
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaIndexPageView, DefaultJinjaPageView

_COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem 2rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100%; }
td, th { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.alert { border-left: 4px solid #6b8fb5; padding: .2rem .8rem; margin: 1.2rem 0 .6rem; }
.text-success { color: #1a7f37; } .text-danger { color: #c62828; } .text-warning { color: #b26a00; }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
.fa-exclamation-triangle::before { content: "!"; } i { font-style: normal; font-weight: bold; }
.badge { border: 1px solid #8886; border-radius: .3rem; padding: 0 .3rem; font-size: .85em; }
.col-lg-2 ul, .nav { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
[data-toggle="collapse"] { display: none; }
"""

_NAVIGATION = '<nav><a href="index.html">All contracts</a>{% if page_title %} / {{ page_title }}{% endif %}</nav>'

# What these hold is scripts, a newsletter, and pictures from other hosts.
_OURS = {
    "data_docs_default_styles.css": _STYLE,
    "js_script_imports.j2": "",
    "favicon.j2": "",
    "cloud-footer.j2": "",
    "page_action_card.j2": "",
    "ge_info.j2": "<p>Data Docs made by Great Expectations {{ ge_version }}.</p>",
    "top_navbar.j2": _NAVIGATION,
}

_SCRIPT = re.compile(r"<script\b.*?</script>|<link\b[^>]*>", re.DOTALL)
_SUITE_PAGE = re.compile(r'href="(?:\.\./)+expectations/[^"]*"')
_NOTHING_ELSE = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n  </head>"
)


def write_data_docs(seen: Seen, folder: Path, as_of: datetime) -> Path:
    """Write the Data Docs of a run, and return the path of their index.

    Parameters
    ----------
    seen
        What Great Expectations returned, as ``validate`` collects it.
    folder
        Where the pages go, made with mode 0700; the files have mode 0600. The same results give the same bytes.
    as_of
        Naive UTC instant of the run, which the pages show as its time.
    """
    private_folder(folder)
    suites = {name: _suite(name, results, as_of) for name, results in seen.items()}
    for name, suite in suites.items():
        document = ValidationResultsPageRenderer(run_info_at_end=True).render(suite)
        write_private(folder / f"{name}.html", _page(DefaultJinjaPageView(), document).encode())
    index = folder / "index.html"
    write_private(index, _page(DefaultJinjaIndexPageView(), _index(suites, as_of)).encode())
    return index


def _suite(
    name: str, results: Sequence[ExpectationValidationResult], as_of: datetime
) -> ExpectationSuiteValidationResult:
    n_passed = sum(bool(result.success) for result in results)
    return ExpectationSuiteValidationResult(
        success=n_passed == len(results),
        results=[_counts_only(result) for result in results],
        suite_name=name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": n_passed,
            "unsuccessful_expectations": len(results) - n_passed,
            "success_percent": 100 * n_passed / len(results) if results else None,
        },
        meta={"run_id": {"run_name": as_of.date().isoformat(), "run_time": as_of.replace(tzinfo=UTC).isoformat()}},
    )


def _counts_only(found: ExpectationValidationResult) -> ExpectationValidationResult:
    """Return a result without anything that could hold a value of a row."""
    counts, observed = found.result, found.result.get("observed_value")
    if "element_count" in counts:
        kept = {key: counts[key] for key in _COUNTS if counts.get(key) is not None}
    elif "unexpected_count" in counts:
        kept = {"observed_value": f"{counts['unexpected_count']:,} unexpected rows"}
    else:
        kept = {"observed_value": observed} if isinstance(observed, int | float) else {}
    return ExpectationValidationResult(
        success=found.success, expectation_config=found.expectation_config, result=kept, exception_info={}, meta={}
    )


def _index(suites: Mapping[str, ExpectationSuiteValidationResult], as_of: datetime) -> RenderedDocumentContent:
    rows = [
        [
            _text("$table", {"table": name}, {"table": {"tag": "a", "attributes": {"href": f"{name}.html"}}}),
            "passed" if suite.success else "with findings",
            *(suite.statistics[key] for key in ("evaluated_expectations", "unsuccessful_expectations")),
        ]
        for name, suite in suites.items()
    ]
    header = RenderedHeaderContent(header=f"Data Docs of {as_of.date().isoformat()}", styling={"classes": ["alert"]})
    table = RenderedTableContent(header_row=["Table", "Status", "Expectations", "Broken"], table=rows)
    return RenderedDocumentContent(
        renderer_type="SiteIndexPageRenderer",
        sections=[RenderedSectionContent(section_name="Contracts", content_blocks=[header, table])],
    )


def _text(template: str, params: Mapping[str, str], styling: Mapping[str, object]) -> RenderedStringTemplateContent:
    return RenderedStringTemplateContent(
        string_template={"template": template, "params": dict(params), "styling": {"params": dict(styling)}}
    )


def _page(view: DefaultJinjaPageView, document: RenderedDocumentContent) -> str:
    numbers: Iterator[int] = count()
    theirs = view.env.loader
    view.env.loader = ChoiceLoader([DictLoader(_OURS), *([theirs] if theirs else [])])
    view.env.filters["generate_html_element_uuid"] = lambda prefix=None: f"{prefix or ''}{next(numbers)}"
    html = _SCRIPT.sub("", str(view.render(document)))  # type: ignore[no-untyped-call]
    return _SUITE_PAGE.sub('href="index.html"', html).replace("</head>", _NOTHING_ELSE, 1)
