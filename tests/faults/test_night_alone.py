"""A night needs no network, opens no door and leaves nothing for others to read (catalogue rows O1, O2 and G13)."""

import pytest

pytestmark = pytest.mark.slow

CONTROL = """
import socket
for attempt in (
    lambda: socket.create_connection(("192.0.2.1", 80), 1),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.gethostbyname("example.org"),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
):
    try:
        attempt()
        print("got through")
    except OSError:
        print("refused")
"""


def test_the_night_is_green(alone_night):
    assert alone_night.first.exit_code == 0, alone_night.first.errors
    assert "campaign" in alone_night.first.output.lower()


def test_nobody_asked_for_anything_outside_of_the_machine(alone_night):
    outside = [line for line in alone_night.log if line["event"] not in {"start", "socket.bind"}]
    assert outside == []


def test_every_process_of_the_night_was_watched(alone_night):
    started = [" ".join(line["argv"]) for line in alone_night.log if line["event"] == "start"]
    assert any("regulars nightly" in argv for argv in started)
    assert any("prefect.server" in argv for argv in started), "the flow had a Prefect server of its own"


def test_the_kernel_found_nothing_without_a_way_out(alone_night):
    """What no audit hook sees: Rust and C++ have sockets of their own."""
    if alone_night.n_without_route is None:
        pytest.skip("this machine gives no network namespace (unshare -n, unshare -rn)")
    assert alone_night.n_without_route == 0


def test_the_watch_sees_what_it_must(nights, tmp_path):
    """The control: a process that does call out is seen and refused, and without a network the kernel counts it."""
    (tmp_path / "sitecustomize.py").write_text(nights.WATCH)
    done = nights.python(CONTROL, tmp_path, PYTHONPATH=str(tmp_path), WATCH_LOG=str(tmp_path / "watch.log"))
    assert done.stdout.split("\n")[:-1] == ["refused"] * 4
    assert (tmp_path / "watch.log").read_text().count('"host": ') == 4


def test_the_kernel_counts_what_it_must(nights, tmp_path):
    alone = nights.alone()
    if alone is None:
        pytest.skip("this machine gives no network namespace (unshare -n, unshare -rn)")
    (tmp_path / "alone.py").write_text(nights.ALONE)
    done = nights.run(
        [*alone, nights.PYTHON, tmp_path / "alone.py", tmp_path / "count.json", nights.PYTHON, "-c", CONTROL], tmp_path
    )
    assert done.stdout.split("\n")[:-1] == ["refused"] * 4
    assert int((tmp_path / "count.json").read_text()) >= 3


def test_servers_listen_on_the_loopback_only(alone_night):
    doors = {line["host"] for line in alone_night.log if line["event"] == "socket.bind"}
    assert doors
    assert {door for door in doors if not (door == "::1" or door.startswith("127."))} == set()


def test_nobody_else_can_read_what_the_night_wrote(alone_night):
    """The umask of whoever started it was open."""
    modes = alone_night.first.modes
    assert any(path.endswith("mlflow.db") for path in modes)
    assert any(path.startswith("prefect/") for path in modes)
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_the_terminal_gets_no_noise_of_libraries(alone_night):
    for answer in (alone_night.first, alone_night.again):
        assert answer.errors == ""
        assert "Traceback" not in answer.output
        assert "prefect" not in answer.output.lower()
