"""A customer on the terminal: what is known, what stands out, what to do, and the history as bars."""

import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from models.portrait import Standing
from pipelines.history import Event, Month
from pipelines.portrait import Portrait, Saying
from pipelines.report.portrait_words import action, missing, opening, place_words, reasons, scores
from pipelines.report.summary import plain
from pipelines.report.words import day, is_known, money, month, share, short_day, things

N_SAYINGS = 8
N_MONTHS = 12
N_OFFERS = 3
N_EVENTS = 6
_NAME = 11
_BAR = 28
_STRIP = 21
_SAID = 74
_WIDTH = 118


def show(found: Portrait, console: Console) -> None:
    """Print a customer.

    Parameters
    ----------
    found
        From ``pipelines.portrait.portrait``.
    console
        Where to; characters that it cannot write become question marks.
    """
    for line in lines(found):
        text = Text(line.encode(console.encoding, "replace").decode(console.encoding))
        # Text, never markup: what came in with the data may look like a style.
        text.stylize("bold", 0, _NAME if line[:1].isupper() else 0)
        console.print(text, soft_wrap=True, highlight=False)


def lines(found: Portrait) -> list[str]:
    """Return what is printed, line by line."""
    title = f"Customer {found.person.customer_id} · {found.company} · as of {day(found.as_of_on)}"
    body = [
        *_block("Known", opening(found)),
        *_block("Scores", [f"{name} {value}{f' ({note})' if note else ''}" for name, value, note in scores(found)]),
        *_block("Why", reasons(found)),
        *_block("Do", [action(found)[0], *action(found)[1]]),
        *_block("Offers", [_offer(row) for row in found.offers[:N_OFFERS]]),
        *_block("Stands out", _sayings(found.sayings[:N_SAYINGS])),
        *_block(
            "Bought", [f"{', '.join(name for name, _ in found.history.categories)}"] * bool(found.history.categories)
        ),
        *_block("History", [*_months(found.history.months[-N_MONTHS:], found.currency), missing(found.history)]),
        *_block("Lately", [_event(one) for one in found.history.events[-N_EVENTS:]]),
    ]
    return [plain(title), "", *body]


def bar(value: float, most: float, width: int = _BAR) -> str:
    """Return a bar of blocks, an eighth of a column exact; nothing for what is not above zero.

    Examples
    --------
    >>> bar(1, 4, 8), bar(0.3, 4, 8), bar(-1, 4, 8)
    ('██', '▋', '')
    """
    eighths = round(max(value, 0.0) / most * width * 8) if most > 0 else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def strip(one: Standing, width: int = _STRIP) -> str:
    """Return where a value stands from low to high; the line in the middle is the typical one.

    Examples
    --------
    >>> strip(Standing("n_orders", 5, 1, 2, 3, share_below=1.0, share_above=0.0, n_others=9), 11)
    '·····│····●'
    """
    if not is_known(one.place):
        return ""
    cells = ["·"] * width
    cells[width // 2] = "│"
    cells[round(one.place * (width - 1))] = "●"
    return "".join(cells)


def _block(name: str, said: Iterable[str]) -> Iterator[str]:
    for line in (plain(line) for line in said if line):
        # Charts fit, and keep their spaces.
        parts = textwrap.wrap(line, _WIDTH - _NAME, subsequent_indent="  ") if len(line) > _WIDTH - _NAME else [line]
        for part in parts:
            yield f"{name:<{_NAME}}{part}"
            name = ""


def _offer(row: dict[str, object]) -> str:
    chance = row.get("acceptance_probability")
    said = f" ({share(chance, 0)} likely to buy it)" if is_known(chance) else ""
    return f"{row['rank']} {row['category']}{said}" + (f": {row['reason']}" if is_known(row.get("reason")) else "")


def _sayings(found: Iterable[Saying]) -> Iterator[str]:
    for one in found:
        words = one.words if len(one.words) < _SAID else f"{one.words[: _SAID - 1]}…"
        yield f"{words:<{_SAID}} {strip(one.standing)} {place_words(one.standing)}".rstrip()


def _months(found: tuple[Month, ...], currency: str) -> Iterator[str]:
    most = max((one.spend_cents for one in found), default=0)
    for one in found:
        told = [things(one.n_orders, "order")]
        told += [f"▲ {things(one.n_campaigns, 'campaign')}"] * bool(one.n_campaigns)
        told += [f"✕ {things(one.n_complaints, 'complaint')}"] * bool(one.n_complaints)
        spent = money(one.spend_cents, currency)
        yield f"{month(one.month)}  {bar(one.spend_cents, most):<{_BAR}} {spent:>12}  {', '.join(told)}"


def _event(one: Event) -> str:
    return f"{short_day(one.on)}  {one.kind}: {one.words}"
