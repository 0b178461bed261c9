"""Serve: the nightly schedule, and the two user interfaces, all on this machine only."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.schedules import Cron
from rich.console import Console

from data.errors import UserError
from pipelines.nightly import nightly
from pipelines.plan import read_settings
from pipelines.tracking import Tracker

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
_PATIENCE_SECONDS = 90


def serve(config: Path, root: Path | None) -> None:
    """Run the night on its schedule until stopped.

    A schedule needs a Prefect server: the one of ``PREFECT_API_URL``, or one that is started here for as long.
    """
    schedule = read_settings(config, root).schedule.cron
    timezone = read_settings(config, root).company.timezone
    parameters = {"config": str(config.resolve()), "root": None if root is None else str(root.resolve())}
    with _prefect_server():
        nightly.serve(
            name="nightly", schedule=Cron(schedule, timezone=timezone), parameters=parameters, pause_on_shutdown=False
        )


def open_servers(root: Path, console: Console) -> None:
    """Open MLflow and Prefect until stopped."""
    tracker = Tracker(root)
    mlflow = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(MLFLOW_PORT)]
    mlflow += ["--backend-store-uri", tracker.uri, "--workers", "1"]
    with _running(mlflow), _prefect_server():
        console.print(
            f"MLflow   http://{HOST}:{MLFLOW_PORT}\nPrefect  {os.environ['PREFECT_API_URL'].removesuffix('/api')}"
        )
        console.print("Ctrl-C ends both.")
        while True:
            time.sleep(3600)


@contextmanager
def _prefect_server() -> Iterator[None]:
    """Have a Prefect server for as long: the user's own, or one of ours on the loopback address."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    url = f"http://{HOST}:{PREFECT_PORT}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(PREFECT_PORT)]
    with _running(command) as server:
        _wait(f"{url}/health", server)
        os.environ["PREFECT_API_URL"] = url
        try:
            yield
        finally:
            del os.environ["PREFECT_API_URL"]


@contextmanager
def _running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(_PATIENCE_SECONDS * 2):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback address of our own
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise UserError(
        f"no Prefect server at {url}",
        f"one within {_PATIENCE_SECONDS} s",
        "free the port, or set PREFECT_API_URL to a server of your own",
    )
