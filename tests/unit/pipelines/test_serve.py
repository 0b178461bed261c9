"""The schedule and the servers: nights in a real Prefect server, on the loopback only, and no trace after the end."""

import io
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pyarrow as pa
import pytest
from rich.console import Console

from data.errors import UserError
from data.simulator import simulate
from pipelines import serve

pytestmark = pytest.mark.slow

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
        """Post to the API and return its answer; on a busy machine its database may be locked for a moment."""
        request = urllib.request.Request(
            self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
        )

        def answer() -> bytes | None:
            try:
                with urllib.request.urlopen(request, timeout=30) as found:
                    return bytes(found.read())
            except urllib.error.HTTPError as error:
                if error.code == 503:
                    return None
                raise

        return json.loads(wait(answer))

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
            # Politely first: it has servers to end.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def shop_of_few() -> dict[str, pa.Table]:
    return dict(simulate(seed=11, n_customers=300, n_days=365).tables)


def refused_night(nights: ModuleType, config: Path, url: str) -> dict[str, Any]:
    """Run the command on files that break the contract, into a root that has a published night; say what changed."""
    folder, root = config.parent, config.parent / "var"
    tables = shop_of_few()
    tables["transactions"] = tables["transactions"].drop_columns("amount_cents")
    source, broken = nights.write_shop(folder / "broken", tables), folder / "broken.toml"
    lines = [f'path = "{source}"' if line.startswith("path") else line for line in config.read_text().splitlines()]
    broken.write_text("\n".join(lines))
    before = nights.hashes(root / "lake", root / "reports")
    command = nights.command("nightly", "--config", broken, "--as-of", nights.LAST_DAY)
    answer = nights.run(command, folder, PREFECT_API_URL=url)
    said = {"exit_code": answer.returncode, "output": answer.stdout, "errors": answer.stderr}
    after = nights.hashes(root / "lake", root / "reports")
    # Great Expectations' documents of the run that was refused are the one thing that it leaves.
    new = {path: after[path] for path in after if "data_docs" not in path or path in before}
    return said | {"is_untouched": new == before, "documents": sorted(after.keys() - before.keys())}


def serve_for_a_while(nights: ModuleType, folder: Path) -> None:
    """Serve, run a scheduled night and a broken one, stop; write down all that was seen."""
    port = free_port()
    config = nights.write_config(
        folder, nights.write_shop(folder / "raw", shop_of_few()), schedule={"cron": "30 3 * * *"}
    )
    environ = {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    seen: dict[str, Any] = {}
    with started(nights, folder, "serve", "--config", config, **environ) as process:
        wait(lambda: "Nights begin" in (folder / "out.log").read_text() or process.poll() is not None)
        served = Served(process, folder, port)
        seen["deployments"] = wait(lambda: served.ask("/deployments/filter"))
        seen["night"] = served.run()
        seen["tasks"] = served.ask("/task_runs/filter")
        seen["doors"] = sorted(doors(psutil.Process(process.pid)))
        seen["refused"] = refused_night(nights, config, served.url)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        seen["exit_code"] = process.wait(60)
        seen["survivors"] = [one.pid for one in psutil.wait_procs(family, timeout=5)[1]]
        seen["n_children"] = len(family)
    seen["out"], seen["err"] = (folder / "out.log").read_text(), (folder / "err.log").read_text()
    (folder / "seen.json").write_text(json.dumps(seen))


@pytest.fixture(scope="module")
def told(nights: ModuleType, shared_folder: Path) -> dict[str, Any]:
    """Return what was seen while it served."""
    folder = nights.once(shared_folder / "served", lambda folder: serve_for_a_while(nights, folder))
    return {"config": folder / "regulars.toml", **json.loads((folder / "seen.json").read_text())}


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

    def test_a_broken_contract_ends_the_next_one_and_the_last_one_still_serves(self, told, nights):
        """Catalogue row D6, by the command, with an exit code and one line."""
        refused = told["refused"]
        assert refused["exit_code"] == 3
        assert refused["errors"].count("\n") == 1
        assert refused["errors"].startswith("found: transactions has no column amount_cents")
        assert "Traceback" not in refused["output"]
        assert refused["is_untouched"], "lake or reports changed"
        assert {Path(path).parent.name for path in refused["documents"]} <= {"data_docs"}
        run = nights.plan(told["config"], None, lambda _: nights.LAST_DAY)
        assert run.lake.snapshot().run_key == run.run_key
        tracker = nights.Tracker(run.settings.root)
        decisions = run.frame("model_decisions", run.lake.snapshot().versions).to_pylist()
        served = {row["model"]: row["candidate_version"] for row in decisions if row["decision"] == "promoted"}
        assert {row["model"]: tracker.champion(row["model"]) for row in decisions} == {
            row["model"]: served.get(row["model"]) for row in decisions
        }
        statuses = [found.info.status for found in tracker.client.search_runs(["1"])]
        assert sorted(statuses) == ["FAILED", "FINISHED"], "both are on record"

    def test_its_stages_are_seen_in_the_server(self, told, nights):
        names = {task["name"].rsplit("-", 1)[0]: task["state_type"] for task in told["tasks"]}
        assert names == dict.fromkeys(nights.STAGES, "COMPLETED")

    def test_it_ends_with_all_that_it_started(self, told):
        assert told["exit_code"] == 0
        assert told["n_children"] >= 1
        assert told["survivors"] == []

    def test_the_log_is_calm(self, told):
        assert "Nights begin at 30 3 * * * (UTC)" in told["out"]
        # On a busy machine Prefect says at its end that it is still sending an event; nothing else may be said.
        assert [line for line in told["err"].splitlines() if "EventsWorker - Still processing" not in line] == []

    def test_every_door_is_on_the_loopback(self, told):
        """Catalogue row O2."""
        assert told["doors"] == ["127.0.0.1"]


@pytest.mark.slow
def test_mlflow_shows_the_nights_on_the_loopback_and_ends(tmp_path, monkeypatch):
    console, port = Console(file=io.StringIO(), width=120), free_port()
    monkeypatch.setattr(serve, "MLFLOW_PORT", port)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with ThreadPoolExecutor() as pool:
        opened = pool.submit(serve.open_servers, tmp_path, console)
        wait(lambda: "Ctrl-C" in console.file.getvalue() or opened.done())
        assert console.file.getvalue().splitlines() == [
            f"MLflow   http://127.0.0.1:{port}",
            "Prefect  http://127.0.0.1:4200",
            "Ctrl-C ends both.",
        ], opened.exception(0)
        (server,) = [one for one in psutil.Process().children() if "mlflow" in one.cmdline()]
        family = [server, *server.children(recursive=True)]
        assert doors(server) == {"127.0.0.1"}
        # Whether the server goes or the user, what is left is ended.
        server.terminate()
        opened.result(60)
    assert psutil.wait_procs(family, timeout=5)[1] == []


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
