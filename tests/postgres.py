"""A private PostgreSQL server for tests and benchmarks: a folder of its own, a free port, gone at the end."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi

OWNER, PASSWORD = "shop", "s3cret-Pa%55"
_PATIENCE_SECONDS = 30
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=4GB", "autovacuum=off")


class Server:
    """A running server.

    Parameters
    ----------
    port
        On 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = count(1)

    def address(self, database: str = "postgres", user: str = OWNER, password: str = PASSWORD) -> str:
        """Return the address of a database, its password as an address has it."""
        return f"postgresql://{user}:{password.replace('%', '%25')}@127.0.0.1:{self.port}/{database}"

    def database(self, options: str = "") -> str:
        """Make an empty database and return its name."""
        name = f"shop{next(self._numbers)}"
        self.run("postgres", f"CREATE DATABASE {name} {options}")
        return name

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the owner, each by itself, and return the rows of the last."""
        with dbapi.connect(self.address(database), autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def binaries() -> Path | None:
    """Return the folder of the server's programs, null where there is none."""
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    return Path(found).resolve().parent if found else installed[-1].parent if installed else None


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """Start a server for the time of a block.

    Raises
    ------
    FileNotFoundError
        There is no server here.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("no PostgreSQL server")
    # Not below pytest's folder, which nobody but its owner may enter: the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="regulars-pg-"))
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        secret = folder / "secret"
        secret.write_text(PASSWORD, "utf-8")
        if user:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        made = ("--auth=scram-sha-256", f"--pwfile={secret}", "-U", OWNER, "-E", "UTF8", "--locale=C", "--no-sync")
        command = [programs / "initdb", "-D", folder / "data", *made]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)
        yield from _running(programs, folder, options, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(programs: Path, folder: Path, options: Sequence[str], user: dict[str, Any]) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [f"-c{option}" for option in (*_OPTIONS, *options)]
    command = [
        programs / "postgres",
        "-D",
        folder / "data",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        folder,
        *settings,
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **user) as run,
    ):
        try:
            _wait(run, port, folder)
            yield Server(port)
        finally:
            # A fast shutdown: whoever is connected is thrown out.
            run.send_signal(signal.SIGINT)
            run.wait(_PATIENCE_SECONDS)


def _wait(run: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and run.poll() is None:
        try:
            dbapi.connect(Server(port).address()).close()
        except dbapi.Error:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL does not start: {(folder / 'log').read_text('utf-8')[-2000:]}")
