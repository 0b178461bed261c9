"""Builds ``report.html``: one file that needs nothing else, opens from a disk and asks the network for nothing."""

from pipelines.report.document import rendered
from pipelines.report.night import Night
from pipelines.report.sections import SECTIONS, headline
from pipelines.report.words import GLOSSARY, day


def page(night: Night) -> str:
    """Return the report as one HTML page; the same night gives the same text.

    Parameters
    ----------
    night
        The results of one run.
    """
    return rendered(
        "template.html",
        has_script=True,
        night=night,
        day=day(night.as_of_on),
        headline=headline(night),
        sections=[section(night) for section in SECTIONS],
        glossary=GLOSSARY,
    )
