"""Serve: the nightly schedule, and the two user interfaces, all on this machine only."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from data.errors import UserError
from pipelines.plan import read_settings
from pipelines.tracking import Tracker

HOST = "127.0.0.1"
PREFECT_PORT = int(os.environ.get("PREFECT_SERVER_API_PORT", "4200"))
MLFLOW_PORT = int(os.environ.get("MLFLOW_PORT", "5000"))
_PATIENCE_SECONDS = 90
_GRACE_SECONDS = 15


def serve(config: Path, root: Path | None, console: Console) -> None:
    """Run the night on its schedule until stopped.

    A schedule needs a Prefect server: the one of ``PREFECT_API_URL``, or one that is started here for as long.
    """
    settings = read_settings(config, root)
    parameters = {"config": str(config.resolve()), "root": None if root is None else str(root.resolve())}
    with _prefect_server():
        from pipelines.schedule import run_nights  # noqa: PLC0415 - it has to know the server

        console.print(f"Nights begin at {settings.schedule.cron} ({settings.company.timezone}). Ctrl-C ends them.")
        run_nights(settings, parameters)


def open_servers(root: Path, console: Console) -> None:
    """Open MLflow and Prefect until stopped."""
    tracker = Tracker(root)
    mlflow = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(MLFLOW_PORT)]
    mlflow += ["--backend-store-uri", tracker.uri, "--workers", "1"]
    with _running(mlflow, MLFLOW_PORT, "/health") as server, _prefect_server():
        prefect = os.environ["PREFECT_API_URL"].removesuffix("/api")
        console.print(f"MLflow   http://{HOST}:{MLFLOW_PORT}\nPrefect  {prefect}\nCtrl-C ends both.")
        server.wait()


@contextmanager
def _prefect_server() -> Iterator[None]:
    """Have a Prefect server for as long: the user's own, or one of ours on the loopback address."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(PREFECT_PORT)]
    with _running(command, PREFECT_PORT, "/api/health"):
        os.environ["PREFECT_API_URL"] = f"http://{HOST}:{PREFECT_PORT}/api"
        try:
            yield
        finally:
            del os.environ["PREFECT_API_URL"]


@contextmanager
def _running(command: list[str], port: int, health: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server, from its first answer on, and end it with all that it started."""
    _check_free(port)
    # A session of its own: Ctrl-C reaches the server through us, after what still needs it.
    process = subprocess.Popen(  # noqa: S603 - ours
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(f"http://{HOST}:{port}{health}", process)
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} is in use",
                "a free port",
                "stop what uses it, or name another in PREFECT_SERVER_API_PORT or MLFLOW_PORT",
            ) from error


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(_PATIENCE_SECONDS * 2):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback address of our own
                return
        except OSError:
            time.sleep(0.5)
    raise UserError(f"no answer from {url}", f"a server within {_PATIENCE_SECONDS} s", "try again on a calmer machine")
