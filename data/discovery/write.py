"""Write: a proposal as a commented ``regulars.toml``."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from data.discovery.proposal import Draft, Entry, Proposal

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 118

HEAD = """\
# Proposed by `regulars init` from the files themselves. Every line says what speaks for it; lines that say UNSURE want
# a look. `regulars check` reads the files as they are mapped here and says what they can answer."""

DECISIONS = """\
[decisions]
# Who may be contacted is yours to decide. Without a table of consents, name the purposes that are lawful for every
# customer here: "marketing" for messages, "profiling" for scores of single customers. As long as this is empty and
# [sources.consents] is not mapped, a night stops before it decides on anybody.
assumed_consent = []"""


def write(proposal: Proposal) -> str:
    """Return the configuration as text.

    Parameters
    ----------
    proposal
        What to write. Its comments hold counts and names of columns, never cells of personal columns.

    Returns
    -------
    str
        TOML whose keys are those of the settings.
    """
    blocks = [HEAD, "\n".join(["[company]", *(line for entry in proposal.company for line in _entry(entry, proposal))])]
    blocks += [_section(draft, proposal) for draft in proposal.sections]
    if not any(draft.is_active for draft in proposal.sections):
        # Without any section the demo would run.
        blocks.append("# UNSURE: no file looks like purchases, customers with a label, or a trial\n[sources]")
    blocks.append(DECISIONS)
    left = [f"# {label}: {reason}" for label, reason in proposal.unused]
    left += [f"# {one.path.name}: {one.reason}" for one in proposal.skipped]
    if left:
        blocks.append("\n".join(["# Files that are not used", *map(_plain, left)]))
    return "\n\n".join(blocks) + "\n"


def _section(draft: Draft, proposal: Proposal) -> str:
    sample = draft.profile.sample
    rows = f"{sample.n_rows:,} rows" if sample.is_whole else f"about {sample.n_rows:,} rows, judged by a part of them"
    lines = [f"# {draft.profile.label}: {rows}", f"[sources.{draft.name}]"]
    entries = [entry for entry in draft.entries if entry.key != "join"]
    joins = [entry for entry in draft.entries if entry.key == "join"]
    for entry in entries:
        lines += _entry(entry, proposal)
    if joins:
        lines += [_plain(f"# {entry.evidence[0]}") for entry in joins]
        lines += ["join = [", *(f"  {toml(entry.value, proposal.folder)}," for entry in joins), "]"]
    lines += [line for note in draft.notes for line in _comment(note)]
    return "\n".join(lines if draft.is_active else [line if line.startswith("#") else f"# {line}" for line in lines])


def _entry(entry: Entry, proposal: Proposal) -> Iterator[str]:
    evidence = "; ".join(entry.evidence)
    if evidence:
        yield from _comment(f"{entry.key.rpartition('.')[2]} {'' if evidence.startswith('<-') else '- '}{evidence}")
    if entry.unsure:
        others = list(entry.choices)[1:]
        yield from _comment(f"UNSURE: {entry.unsure}" + (f" (or: {'; '.join(others)})" if others else ""))
    line = f"{entry.key} = {toml(entry.value, proposal.folder)}"
    yield line if entry.is_active else f"# {line}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(_plain(text), _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def _plain(text: str) -> str:
    """Return a text without signs that TOML forbids in a comment."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)


def toml(value: object, folder: Path) -> str:
    """Return a value as TOML; a path below the folder is relative to it.

    Examples
    --------
    >>> toml({"column": "Preis", "times": "Menge"}, Path())
    '{ column = "Preis", times = "Menge" }'
    >>> toml(("a", 1, True), Path())
    '["a", 1, true]'
    """
    if isinstance(value, Path):
        base = folder.absolute()
        return toml(value.relative_to(base).as_posix() if value.is_relative_to(base) else value.as_posix(), folder)
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(key))} = {toml(item, folder)}" for key, item in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item, folder) for item in value)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
