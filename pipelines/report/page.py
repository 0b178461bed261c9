"""Builds ``report.html``: one file that needs nothing else, opens from a disk and asks the network for nothing."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.report.night import Night
from pipelines.report.sections import SECTIONS, headline
from pipelines.report.words import GLOSSARY, day

_HERE = Path(__file__).parent


def page(night: Night) -> str:
    """Return the report as one HTML page; the same night gives the same text.

    Every text is escaped by the template. The page's policy forbids any request and any script or style but its own
    two, which it names by digest: markup that came in with the data could not run even if it were let through.

    Parameters
    ----------
    night
        The results of one run.
    """
    style, script = (_HERE / "style.css").read_text("utf-8"), (_HERE / "sort.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("template.html")
        .render(
            night=night,
            day=day(night.as_of_on),
            headline=headline(night),
            sections=[section(night) for section in SECTIONS],
            glossary=GLOSSARY,
            policy=policy,
            # Our own files, read from beside this one: the only texts besides the charts that are not escaped.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
        )
    )


def with_terms(text: str, glossary: Mapping[str, str] = GLOSSARY) -> Markup:
    """Escape a text and give the first use of each word of the glossary its explanation.

    Parameters
    ----------
    text
        Plain text.
    glossary
        Word -> explanation.

    Examples
    --------
    >>> print(with_terms("a <lift>", {"lift": "Times chance."}))
    a &lt;<span class="term" tabindex="0">lift<span class="tip" role="tooltip">Times chance.</span></span>&gt;
    """
    used: set[str] = set()

    def explain(match: re.Match[str]) -> str:
        word = match.group(0).lower()
        if word in used:
            return match.group(0)
        used.add(word)
        note = f'<span class="tip" role="tooltip">{escape(glossary[word])}</span>'
        return f'<span class="term" tabindex="0">{match.group(0)}{note}</span>'

    words = "|".join(re.escape(word) for word in sorted(glossary, key=len, reverse=True))
    return Markup(re.sub(rf"\b(?:{words})\b", explain, str(escape(text)), flags=re.IGNORECASE))  # noqa: S704


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["terms"] = with_terms
    environment.filters["chart"] = Markup
    return environment


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
