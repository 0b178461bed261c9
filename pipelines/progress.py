"""Progress of a run on the terminal: a bar where a person looks on, plain lines in a log."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pipelines.run import Reporter


class _Lines:
    """Writes one line per finished stage, and moves a bar where there is one."""

    def __init__(self, console: Console, bar: Progress | None, task: TaskID | None) -> None:
        self._console, self._bar, self._task = console, bar, task

    def started(self, stage: str) -> None:
        """Name the stage beside the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=stage)

    def finished(self, stage: str, seconds: float, note: str) -> None:
        """Write the stage's line."""
        self._console.print(f"  {stage:<10} {seconds:5.1f} s  {note}", highlight=False, markup=False, soft_wrap=True)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)


@contextmanager
def progress(console: Console, n_stages: int) -> Iterator[Reporter]:
    """Give a reporter that writes to a console; with a bar only where the console is a terminal."""
    if not console.is_terminal:
        yield _Lines(console, None, None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Lines(bar.console, bar, bar.add_task("starting", total=n_stages))
