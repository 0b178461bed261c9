"""The schedule and the servers: nights in a real Prefect server, on the loopback only, and no trace after the end."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from data.errors import UserError
from data.simulator import simulate
from pipelines import serve

# Has a child of its own and does not care about SIGTERM.
STUBBORN = """
import signal, subprocess, sys, http.server
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(until: Callable[[], Any], seconds: float = 120) -> Any:
    """Return what a question answers as soon as it does."""
    for _ in range(int(seconds * 5)):
        if answer := until():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"no answer within {seconds} s")


def doors(process: psutil.Process) -> set[str]:
    """Return the addresses on which a process and all that it started listen."""
    family = [process, *process.children(recursive=True)]
    return {
        door.laddr.ip for one in family for door in one.net_connections("inet") if door.status == psutil.CONN_LISTEN
    }


class Served:
    """A running ``regulars serve`` and its server's API."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, port: int) -> None:
        self.process, self.folder, self.url = process, folder, f"http://127.0.0.1:{port}/api"

    def ask(self, path: str, **content: Any) -> Any:
        """Post to the API and return its answer."""
        request = urllib.request.Request(
            self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def run(self, **parameters: str) -> dict[str, Any]:
        """Schedule a night of the last day at two in the morning, which is due, and return it when it has ended."""
        (deployment,) = self.ask("/deployments/filter")
        details = {"scheduled_time": "2024-12-31T02:00:00+00:00"}
        state = {"type": "SCHEDULED", "state_details": details}
        run = self.ask(f"/deployments/{deployment['id']}/create_flow_run", state=state, parameters=parameters)

        def ended() -> dict[str, Any] | None:
            (found,) = self.ask("/flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
            return found if found["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None

        return wait(ended)


@contextmanager
def started(nights: ModuleType, folder: Path, *arguments: object, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command with its output in files, and make sure that it ends."""
    with (folder / "out.log").open("w") as out, (folder / "err.log").open("w") as err:
        process = subprocess.Popen(
            nights.command(*arguments), cwd=folder, env=nights.environment(folder, **environ), stdout=out, stderr=err
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def shop_of_few(nights: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = simulate(seed=11, n_customers=300, n_days=365).tables
    return nights.write_shop(tmp_path_factory.mktemp("few"), tables)


@pytest.fixture(scope="module")
def told(nights: ModuleType, shop_of_few: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Serve, run a scheduled night and a broken one, open the user interfaces, stop; return all that was seen."""
    folder, ports = tmp_path_factory.mktemp("served"), (free_port(), free_port())
    config = nights.write_config(folder, shop_of_few, schedule={"cron": "30 3 * * *"}, company={"timezone": "UTC"})
    broken = nights.write_config(folder / "broken", folder / "nowhere")
    environ = {
        "PREFECT_SERVER_API_PORT": str(ports[0]),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "MLFLOW_PORT": str(ports[1]),
    }
    seen: dict[str, Any] = {"folder": folder, "config": config}
    with started(nights, folder, "serve", "--config", config, **environ) as process:
        wait(lambda: "Nights begin" in (folder / "out.log").read_text() or process.poll() is not None)
        served = Served(process, folder, ports[0])
        seen["deployments"] = wait(lambda: served.ask("/deployments/filter"))
        seen["night"] = served.run()
        seen["tasks"] = served.ask("/task_runs/filter")
        seen["broken"] = served.run(config=str(broken))
        (folder / "ui").mkdir()
        with started(
            nights, folder / "ui", "ui", "--root", folder / "var", **environ | {"PREFECT_API_URL": served.url}
        ) as ui:
            wait(lambda: "Ctrl-C" in (folder / "ui" / "out.log").read_text() or ui.poll() is not None)
            seen["ui"] = (folder / "ui" / "out.log").read_text()
            seen["doors"] = doors(psutil.Process(ui.pid)) | doors(psutil.Process(process.pid))
            family = [*psutil.Process(ui.pid).children(recursive=True)]
            ui.send_signal(signal.SIGINT)
            seen["ui_exit_code"] = ui.wait(60)
        family += psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        seen["exit_code"] = process.wait(60)
        seen["survivors"] = psutil.wait_procs(family, timeout=5)[1]
        seen["n_children"] = len(family)
    seen["out"], seen["err"] = (folder / "out.log").read_text(), (folder / "err.log").read_text()
    seen["ui_err"] = (folder / "ui" / "err.log").read_text()
    return seen


@pytest.mark.slow
class TestServed:
    def test_the_schedule_is_the_company_s(self, told):
        (deployment,) = told["deployments"]
        assert deployment["name"] == "nightly"
        (entry,) = deployment["schedules"]
        assert entry["active"]
        assert {"cron": "30 3 * * *", "timezone": "UTC"}.items() <= entry["schedule"].items()
        assert deployment["parameters"] == {"config": str(told["config"]), "root": None}

    def test_the_scheduled_night_is_published(self, told, nights):
        assert told["night"]["state_type"] == "COMPLETED", told["err"]
        run = nights.plan(told["config"], None, lambda _: nights.LAST_DAY)
        snapshot = run.lake.snapshot()
        assert snapshot.run_key == run.run_key
        assert snapshot.as_of == run.as_of, "the day is the one for which it was scheduled, not the one on which it ran"

    def test_its_stages_are_seen_in_the_server(self, told, nights):
        names = {task["name"].rsplit("-", 1)[0]: task["state_type"] for task in told["tasks"]}
        assert names == dict.fromkeys(nights.STAGES, "COMPLETED")

    def test_a_night_that_cannot_run_is_one_line_in_the_log(self, told):
        assert told["broken"]["state_type"] == "FAILED"
        assert "found: no customers.parquet, products.parquet, transactions.parquet" in told["err"]
        assert "Traceback" not in told["err"]

    def test_it_ends_with_all_that_it_started(self, told):
        assert told["exit_code"] == 0
        assert told["n_children"] >= 2
        assert told["survivors"] == []

    def test_the_log_is_calm(self, told):
        assert "Nights begin at 30 3 * * * (UTC)" in told["out"]
        lines = [line for line in told["err"].splitlines() if "found: no customers.parquet" not in line]
        assert lines == []

    def test_both_user_interfaces_are_named_and_end(self, told):
        assert "MLflow   http://127.0.0.1:" in told["ui"]
        assert "Prefect  http://127.0.0.1:" in told["ui"]
        assert told["ui_exit_code"] == 130
        assert told["ui_err"] == ""

    def test_every_door_is_on_the_loopback(self, told):
        """Catalogue row O2."""
        assert told["doors"] == {"127.0.0.1"}


class TestServer:
    def test_a_port_that_is_taken_is_said_before_anything_starts(self, monkeypatch):
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started a server"))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is in use"), serve._running([], port, "/"):
                pass

    def test_a_server_that_dies_is_no_server(self):
        command = [sys.executable, "-c", "raise SystemExit(3)"]
        with pytest.raises(UserError, match="no answer from"), serve._running(command, free_port(), "/"):
            pass

    def test_one_that_ignores_the_polite_signal_goes_all_the_same_and_takes_its_children(self, monkeypatch):
        monkeypatch.setattr(serve, "_GRACE_SECONDS", 0.5)
        port = free_port()
        with serve._running([sys.executable, "-c", STUBBORN, str(port)], port, "/") as process:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
            assert len(family) == 2
            assert doors(family[0]) == {"127.0.0.1"}
        assert psutil.wait_procs(family, timeout=5)[1] == []

    def test_an_error_inside_ends_it_too(self):
        port, family = free_port(), []

        def fail() -> None:
            with serve._running(
                [sys.executable, "-c", STUBBORN.replace("SIG_IGN", "SIG_DFL"), str(port)], port, "/"
            ) as one:
                family.append(psutil.Process(one.pid))
                raise RuntimeError("boom")

        with pytest.raises(RuntimeError):
            fail()
        assert psutil.wait_procs(family, timeout=5)[1] == []

    def test_the_user_s_own_prefect_is_used_where_there_is_one(self, monkeypatch):
        monkeypatch.setenv("PREFECT_API_URL", "http://192.0.2.1/api")
        monkeypatch.setattr(serve, "_running", lambda *_: pytest.fail("started a server"))
        with serve._prefect_server():
            pass
