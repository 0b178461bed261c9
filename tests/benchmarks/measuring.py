"""What both benchmarks need: a process measured with all its children, and a unit of time of the machine's own."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil
from rich.console import Console
from rich.table import Table

_BEAT_SECONDS = 0.05
_MEBIBYTE = 1024 * 1024
_CALM_LOAD = 1.5


@dataclass(frozen=True)
class Measured:
    """A process that ran to its end.

    Parameters
    ----------
    seconds
        From start to end.
    cpu_seconds
        Of the process and everything that it started, user and system.
    peak_mib
        Largest sum of resident memory over the tree, sampled 20 times a second; shared pages count in each process.
    output
        What it wrote.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def measure(command: Sequence[str], **options: object) -> Measured:
    """Run a command and return what it took."""
    before, began, peak = _cpu_of_children(), time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(tree))
            time.sleep(_BEAT_SECONDS)
        output = process.stdout.read()
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}\n{output}")
    return Measured(seconds, _cpu_of_children() - before, peak / _MEBIBYTE, output)


def calibration_seconds() -> float:
    """Return the CPU seconds of a fixed piece of work, the best of three: the machine's own unit of time."""
    return min(_unit_of_work() for _ in range(3))


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table."""
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*row)
    Console(width=110, highlight=False).print(table)


def warn_if_busy() -> None:
    """Say on stderr that somebody else is using the machine."""
    load = psutil.getloadavg()[0]
    if load > _CALM_LOAD:
        Console(stderr=True).print(f"The load is {load:.1f}: times are too long; the ratios suffer less.")


def show_ratios(ratios: Mapping[str, float]) -> None:
    """Print the ratios as the last line: one JSON object for a script to keep."""
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}), flush=True)


def _cpu_of_children() -> float:
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def _resident(process: psutil.Process) -> int:
    try:
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_own_resident, tree))


def _own_resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _unit_of_work() -> float:
    began, total = time.process_time(), 0
    for number in range(2_000_000):
        total = (total * 31 + number) % 1_000_003
    hashlib.pbkdf2_hmac("sha256", str(total).encode(), b"regulars", 1_000_000)
    return time.process_time() - began
