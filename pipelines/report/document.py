"""What all pages share: one file that needs nothing else, asks nothing of the network, and runs its own script alone.

The same findings as plain values are for scripts.
"""

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.report.words import GLOSSARY

_HERE = Path(__file__).parent


def rendered(template: str, css: str | None = None, *, has_script: bool = False, **values: object) -> str:
    """Return a template of this folder as a page; every text in it is escaped.

    The page's policy forbids any request and any script or style but its own two, which it names by digest: markup
    that came in with the data could not run even if it were let through.

    Parameters
    ----------
    template
        Name of the file.
    css
        Name of the file with the style that the page needs beside the report's own; None where it needs none.
    has_script
        Whether its tables can be sorted and searched.
    values
        What the template is told, besides ``policy``, ``style`` and ``script``.
    """
    style = "".join((_HERE / name).read_text("utf-8") for name in ("style.css", css) if name)
    script = (_HERE / "sort.js").read_text("utf-8") if has_script else ""
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    policy += f"; script-src '{_digest(script)}'" if script else ""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"terms": with_terms, "chart": Markup}
    return environment.get_template(template).render(
        # Our own files, read from beside this one: the only texts besides the charts that are not escaped.
        policy=policy,
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        **values,
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


def plain(found: object) -> Any:
    """Return findings as values that JSON knows: dates as ISO text, what is not known or not defined as null.

    Parameters
    ----------
    found
        A dataclass, or anything that one may hold.
    """
    if is_dataclass(found) and not isinstance(found, type):
        return plain(asdict(found))
    if isinstance(found, dict):
        return {str(key): plain(one) for key, one in found.items()}
    if isinstance(found, (list, tuple)):
        return [plain(one) for one in found]
    if isinstance(found, (date, datetime)):
        return found.isoformat()
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
