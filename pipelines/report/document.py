"""Renders a page: one file that needs nothing else, asks the network for nothing, and runs no script but its own."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_HERE = Path(__file__).parent


def rendered(template: str, css: str, *, has_script: bool = False, **values: object) -> str:
    """Return a template of this folder as a page; every text in it is escaped.

    Parameters
    ----------
    template
        Name of the file.
    css
        Name of the file with the style that the page needs beside the report's own.
    has_script
        Whether its tables can be sorted and searched.
    values
        What the template is told, besides ``policy``, ``style`` and ``script``.
    """
    style = "".join((_HERE / name).read_text("utf-8") for name in ("style.css", css))
    script = (_HERE / "sort.js").read_text("utf-8") if has_script else ""
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    policy += f"; script-src '{_digest(script)}'" if script else ""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["chart"] = Markup
    return environment.get_template(template).render(
        # Our own files, read from beside this one: the only texts besides the charts that are not escaped.
        policy=policy,
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        **values,
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
