"""Propose: from files to a whole configuration, every line with its evidence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from data.contracts import CONTRACTS
from data.discovery.company import company, fits
from data.discovery.exact import add_exact
from data.discovery.lines import World, describe_people_and_products, line_columns, transactions
from data.discovery.marketing import marketing
from data.discovery.match import Role, role
from data.discovery.people import customers, identities, products
from data.discovery.profile import ColumnProfile, Profile, profile
from data.discovery.proposal import Ask, Draft, Entry, Proposal
from data.discovery.sample import FileSet, group, take
from data.discovery.sniff import Layout, Skipped, find, layouts
from data.engine import connect
from data.errors import ConfigError, UserError
from data.sources.cells import TEXT

_KEPT_TEXTS = 200
"""Different texts up to which a column is kept as an attribute."""


def propose(paths: Sequence[Path], folder: Path, heard: Callable[[str], None] = lambda _: None) -> Proposal:
    """Look at files and propose how they are mapped.

    Parameters
    ----------
    paths
        Files and folders.
    folder
        Where the configuration will be; its paths are relative to it.
    heard
        Is told which files are being looked at.

    Raises
    ------
    ConfigError
        A path is not there, or no file can be read.

    Returns
    -------
    Proposal
        Sections in the order of the contracts, and what was left out with the reason.
    """
    opened, skipped = _layouts(paths)
    connection: duckdb.DuckDBPyConnection = connect().con
    with closing(connection), TemporaryDirectory(prefix="regulars") as scratch:
        profiles: list[Profile] = []
        for number, files in enumerate(group(opened)):
            heard(files.label)
            try:
                profiles.append(profile(connection, take(connection, files, f"set {number}", Path(scratch))))
            except (UserError, duckdb.Error) as error:
                reason = error.found if isinstance(error, UserError) else str(error).splitlines()[0]
                skipped.append(Skipped(files.layout.path, reason[:200]))
        if not profiles:
            reasons = "; ".join(f"{one.path.name}: {one.reason}" for one in skipped[:3])
            raise ConfigError(f"no file can be read: {reasons}", "CSV, Parquet, Excel or Delta files", "convert them")
        return _proposal(connection, profiles, skipped, folder)


def _layouts(paths: Sequence[Path]) -> tuple[list[Layout], list[Skipped]]:
    opened: list[Layout] = []
    skipped: list[Skipped] = []
    for path in find(paths):
        found = layouts(path)
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            opened += found
    return opened, skipped


def _proposal(
    connection: duckdb.DuckDBPyConnection, profiles: list[Profile], skipped: list[Skipped], folder: Path
) -> Proposal:
    kept, unused = _without_twins(profiles)
    roles: dict[str, Role] = {one.sample.table: role(one) for one in kept}
    world = World(connection, kept, roles)
    lines = transactions(world)
    people, things = customers(world, lines), products(world, lines)
    if lines is not None:
        describe_people_and_products(lines, has_customers=people is not None, has_products=things is not None)
    drafts = [draft for draft in (people, things, lines, *marketing(world)) if draft is not None]
    private = identities(people)
    drafts += [private] if private is not None else []
    for draft in drafts:
        _finish(draft, kept, private)
    drafts.sort(key=lambda draft: list(CONTRACTS).index(draft.name))
    taken = {id(one) for draft in drafts for one in (draft.profile, *(other for other, *_ in draft.joins))}
    unused += [(one.label, _reason(one, roles)) for one in kept if id(one) not in taken]
    head = company(kept, drafts, folder)
    return Proposal(head, tuple(drafts), tuple(kept), roles, tuple(skipped), tuple(unused), folder)


def _without_twins(profiles: Sequence[Profile]) -> tuple[list[Profile], list[tuple[str, str]]]:
    """Leave out file sets that say the same as another: the same columns, in another format or to a part."""
    kept: list[Profile] = []
    unused: list[tuple[str, str]] = []
    for one in sorted(profiles, key=lambda profile: (-profile.sample.n_rows, -len(profile.sample.files.paths))):
        names = set(one.sample.files.layout.names)
        twin = next((other for other in kept if set(other.sample.files.layout.names) == names), None)
        if twin is None:
            kept.append(one)
        else:
            unused.append((one.label, f"same columns as {twin.label}: rows would count twice if both were read"))
    return kept, unused


def _reason(one: Profile, roles: dict[str, Role]) -> str:
    """Return why a file is not used, in words that say what could be done."""
    kind = roles[one.sample.table]
    if not one.sample.n_rows:
        return "a header without rows"
    if kind != "other":
        return f"looks like {kind}, but its keys are not those of the other files"
    if all(column.name.startswith("column_") for column in one.columns):
        return "it has no header that names its columns"
    if any(column.about for column in one.columns):
        return "no contract fits its columns"
    return "the names of its columns say nothing in English, German, French, Spanish, Portuguese or Swedish"


def _finish(draft: Draft, profiles: Sequence[Profile], private: Draft | None) -> None:
    """Add how the files are read, and the columns that are kept beside the contract's."""
    add_exact(draft)
    if draft.name in {"transactions", "customers", "trials", "products"}:
        _keep(draft)
    reading = list(_reading(draft.profile.sample.files))
    names = draft.columns
    mapped = [_with_clock(column, draft.clocks) for column in names if column.name in draft.used]
    joins = [
        Entry("join", {"path": Path(other.sample.files.pattern), "on": [ours, theirs]} | _read_as(other), (evidence,))
        for other, ours, theirs, evidence in draft.joins
    ]
    if draft.profile.decimal != ".":
        reading.append(Entry("decimal", draft.profile.decimal, ("numbers are written with it",)))
    if draft.profile.thousands:
        reading.append(Entry("thousands", draft.profile.thousands, ("between groups of three digits",)))
    dates = _dates(mapped, profiles)
    reading += [dates] if dates is not None else []
    marks = sorted({mark for column in mapped for mark in column.missing})
    if marks:
        reading.append(Entry("missing", marks, ("these stand where a value is missing",)))
    whole = [column.name for column in mapped if _was_whole(column, draft)]
    if whole:
        reading.append(Entry("whole", whole, ("whole numbers that were written as 17850.0",)))
    draft.entries[:0] = reading + joins
    draft.notes += [*draft.profile.notes, *_left(draft, private)]


def _reading(files: FileSet) -> Iterator[Entry]:
    """Yield where the files are and how their text is read."""
    count = f"{len(files.paths)} files of the same columns" if len(files.paths) > 1 else "one file"
    yield Entry("path", Path(files.pattern), (count,))
    for key, value in _settings(files).items():
        note = "found in the file" if key != "encoding" else "some bytes are no UTF-8"
        yield Entry(key, value, (note,))


def _settings(files: FileSet) -> dict[str, object]:
    """Return the settings that differ from the usual ones, without a format that the ending says."""
    found = files.layout.files.model_dump(exclude_defaults=True)
    ending = Path(files.pattern.removesuffix(".gz")).suffix.lower()
    said = {".csv": "csv", ".txt": "csv", ".tsv": "csv", ".parquet": "parquet", ".xlsx": "excel"}
    if found.get("format") in {said.get(ending), "fixed"}:
        del found["format"]
    return found


def _read_as(profile: Profile) -> dict[str, object]:
    return _settings(profile.sample.files)


def _was_whole(column: ColumnProfile, draft: Draft) -> bool:
    is_key = any(
        column.name in (entry.value if isinstance(entry.value, tuple) else (entry.value,))
        for entry in draft.entries
        if entry.key.endswith("_id") and entry.key.startswith("columns.")
    )
    return is_key and (column.is_whole_float or (column.dtype in {"DOUBLE", "FLOAT"} and column.n_fractional == 0))


def _dates(columns: Sequence[ColumnProfile], profiles: Sequence[Profile]) -> Entry | None:
    """Return the formats of the dates that are mapped, null where they need none."""
    found = [column.dates for column in columns if column.dates is not None and not column.is_typed]
    if not any(dates.formats for dates in found):
        return None
    first = _decided(profiles)
    formats = tuple(dict.fromkeys(form for dates in found for form in dates.all_formats))
    evidence = tuple(dict.fromkeys(f"<- {c.name}: {c.dates.evidence}" for c in columns if c.dates is not None))
    others = tuple(dict.fromkeys(form for dates in found for form in (dates.others or dates.all_formats)))
    if not any(dates.is_undecided for dates in found):
        return Entry("date_format", _one_or_more(formats), evidence)
    if len(first) == 1:
        is_month = first == {"%m"}
        told = (*evidence, f"the other columns have the {'month' if is_month else 'day'} first")
        return Entry("date_format", _one_or_more(others if is_month else formats), told)
    choices = {"the day comes first": _one_or_more(formats), "the month comes first": _one_or_more(others)}
    unsure = f"no field is above 12: dates could be month first, {_one_or_more(others)}"
    return Entry("date_format", _one_or_more(formats), evidence, unsure, choices)


def _decided(profiles: Sequence[Profile]) -> set[str]:
    """Return what comes first, ``%d`` or ``%m``, in the dates of all files that leave no doubt."""
    dates = [c.dates for one in profiles for c in one.columns if c.dates is not None and not c.dates.is_undecided]
    return {form[:2] for one in dates for form in one.formats if form[:5] in {"%d/%m", "%m/%d", "%d-%m", "%m-%d"}}


def _with_clock(column: ColumnProfile, clocks: Mapping[str, str]) -> ColumnProfile:
    """Return a column of days with formats of days and times, where a time of the day is joined to it."""
    if column.dates is None or column.name not in clocks:
        return column

    def timed(forms: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{form} {clocks[column.name]}" for form in forms)

    dates = column.dates
    return replace(
        column, dates=replace(dates, formats=timed(dates.formats), iso=timed(dates.iso), others=timed(dates.others))
    )


def _one_or_more(formats: tuple[str, ...]) -> str | tuple[str, ...]:
    return formats[0] if len(formats) == 1 else formats


def _keep(draft: Draft) -> None:
    """Keep further columns: figures as numbers, texts of few kinds as attributes; nothing personal."""
    taken = {column.name.lower() for column in CONTRACTS[draft.name].columns} | {"local_time"}
    texts = [column.name for column in line_columns(draft)[:1]] if draft.name == "transactions" else []
    texts += [name for name in draft.differing if name.lower() not in taken]
    numbers: list[str] = []
    own = {column.name for column in draft.profile.usable}
    for column in draft.columns:
        name = column.name
        is_odd = name.lower() in taken or name.startswith(("customer: ", "product: ", "$"))
        is_odd |= draft.name == "customers" and (bool(column.about & {"city", "address"}) or column.about == {"name"})
        if is_odd or name in {*texts, *draft.left_out} or column.is_personal or _is_mapped(draft, name):
            continue
        if column.kind == "number" and name in own and _is_figure(column):
            numbers.append(name)
        elif column.kind in {"text", "flag"} and column.n_distinct <= _KEPT_TEXTS and column.n_distinct < column.n_rows:
            texts.append(name)
        else:
            continue
        taken.add(name.lower())
    draft.used |= {column.name: column for column in draft.columns if column.name in {*texts, *numbers}}
    if texts:
        draft.entries.append(Entry("attributes", texts, ("texts of few kinds are kept beside the contract's columns",)))
    if numbers:
        draft.entries.append(Entry("numbers", numbers, ("figures are kept beside the contract's columns",)))


def _is_mapped(draft: Draft, name: str) -> bool:
    return name in draft.used or any(name in (ours, theirs) for _, ours, theirs, _ in draft.joins)


def _is_figure(column: ColumnProfile) -> bool:
    """Return whether a column is a number to count with, not an id: an unreadable one would stop the load."""
    is_id = (column.is_unique and column.is_whole and column.n_rows > 1) or bool(column.about & {"zip"})
    readable = column.n_unreadable == 0 and (column.is_typed or column.dtype == TEXT)
    return readable and not is_id and not column.has_leading_zeros


def _left(draft: Draft, private: Draft | None) -> Iterator[str]:
    """Yield comments on columns that are not mapped."""
    left = [column for column in draft.profile.columns if column.name and column.name not in draft.used]
    hidden = set() if private is None else set(private.used)
    personal = [c.name for c in left if c.is_personal and c.name not in hidden]
    if personal and draft.name != "identities":
        yield f"personal data, which only [sources.identities] may hold: {', '.join(personal)}"
    others = [c.name for c in left if not c.is_personal and c.kind != "empty" and c.name not in hidden]
    if others and draft.name != "identities":
        yield f"not mapped: {', '.join(others)}"
    empty = [c.name for c in left if c.kind == "empty"]
    if empty and draft.name != "identities":
        yield f"empty: {', '.join(empty)}"


def _answered(entry: Entry, question: str, ask: Ask) -> Entry:
    """Return a line of the company as it was answered; an answer that is not allowed is asked for again, twice."""
    for _ in range(3):
        answer = ask(question, (), str(entry.value)).strip()
        if fits(entry.key, answer):
            return replace(entry, value=answer, unsure="", evidence=("as answered",))
        question = f"{answer} is not allowed here. {question}"
    return entry


def settle(proposal: Proposal, ask: Ask, most: int = 8) -> Proposal:
    """Return a proposal after its unsure lines were asked about.

    Parameters
    ----------
    proposal
        What was proposed.
    ask
        Asks a question with the answers to choose from (none: any text) and the one that is proposed.
    most
        Questions at most; further lines stay unsure.
    """
    n_asked = 0

    def asked(section: str, entry: Entry) -> Entry:
        nonlocal n_asked
        if not entry.unsure or n_asked >= most or not entry.is_active or (section != "company" and not entry.choices):
            return entry
        n_asked += 1
        question = f"{section}.{entry.key}: {entry.unsure}"
        if not entry.choices:
            return _answered(entry, question, ask)
        answer = ask(question, tuple(entry.choices), next(iter(entry.choices)))
        chosen = entry.choices.get(answer, entry.value)
        return replace(entry, value=chosen, unsure="", evidence=(*entry.evidence, "as answered"))

    for draft in proposal.sections:
        draft.entries[:] = [asked(draft.name, entry) for entry in draft.entries]
    return replace(proposal, company=tuple(asked("company", entry) for entry in proposal.company))
