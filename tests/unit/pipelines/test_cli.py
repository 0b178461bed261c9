"""The command: exit codes, one line for a mistake, nobody else's Prefect, and nothing left for others to read."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.errors import (
    ArtifactError,
    ConfigError,
    ContractError,
    LakeError,
    LeakageError,
    LockHeldError,
    UserError,
)
from data.lake import Lake
from models.spec import TrainingError
from pipelines import cli

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _same_process_as_before() -> Iterator[None]:
    """Put back what the command sets for its process."""
    umask, handler = os.umask(0o022), signal.getsignal(signal.SIGTERM)
    os.umask(umask)
    yield
    os.umask(umask)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command here and returns exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["regulars", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory of this test, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (None, "no file"),
            ("[money", "is not TOML"),
            ("[mony]", "unknown key 'mony'"),
            ("[money]\nmargin_share = 7", "money.margin_share = 7"),
            (
                "[source]\nkind = 'parquet'\npath = 'nowhere'\n[decisions]\nassumed_consent = ['marketing']",
                "no customers",
            ),
            ("[source]\nkind = 'parquet'\npath = 'nowhere'", "no table of consents"),
        ],
    )
    @pytest.mark.parametrize("name", ["nightly", "serve"])
    def test_a_configuration_that_cannot_be_used_is_one_line_and_exit_code_2(
        self, command, in_folder, name, text, found
    ):
        if name == "serve" and found in {"no customers", "no table of consents"}:
            pytest.skip("the schedule starts, the night says it")
        if text is not None:
            write(in_folder / "regulars.toml", text)
        code, output, errors = command(name, "--root", in_folder / "var")
        assert (code, output) == (2, "")
        assert errors.startswith(f"found: {found}") or f"regulars.toml {found}" in errors
        assert errors.count("\n") == 1
        assert "; do: " in errors
        assert not (in_folder / "var").exists(), "nothing was begun"

    def test_a_report_without_a_night(self, command, tmp_path):
        code, output, errors = command("report", "--root", tmp_path / "var")
        assert (code, output) == (7, "")
        assert errors.startswith(f"found: no published night in {tmp_path}/var/lake; expected: at least one; do: run ")
        assert errors.count("\n") == 1

    def test_a_day_that_is_none(self, command):
        code, _, errors = command("nightly", "--as-of", "31.12.2024")
        assert code == 2
        assert "does not match" in errors

    def test_a_command_that_does_not_exist(self, command):
        code, _, errors = command("nigthly")
        assert code == 2
        assert "No such command" in errors

    def test_who_comes_second_is_told_at_once(self, command, nights, shop, tmp_path):
        config = nights.write_config(tmp_path, shop)
        with Lake(tmp_path / "var" / "lake").lock():
            code, output, errors = command("nightly", "--config", config, "--as-of", nights.LAST_DAY)
        assert (code, output) == (4, "")
        assert f"locked by pid {os.getpid()} since " in errors
        assert errors.count("\n") == 1


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (UserError, 1),
            (ConfigError, 2),
            (ContractError, 3),
            (LockHeldError, 4),
            (ArtifactError, 5),
            (LeakageError, 6),
            (LakeError, 7),
            (TrainingError, 8),
        ],
    )
    def test_every_kind_of_mistake_has_its_own(self, command, monkeypatch, error, code):
        def fail() -> None:
            raise error("[red]brackets[/nonsense]", "none", "x" * 300)

        monkeypatch.setattr(cli, "app", fail)
        found, output, errors = command()
        assert (found, output) == (code, "")
        assert errors == f"found: [red]brackets[/nonsense]; expected: none; do: {'x' * 300}\n", (
            "one line, as it was said"
        )

    def test_ctrl_c_is_130_without_a_word(self, command, monkeypatch):
        monkeypatch.setattr(cli, "app", lambda: os.kill(os.getpid(), signal.SIGINT))
        assert command() == (130, "", "")

    def test_sigterm_unwinds_what_was_begun(self, command, monkeypatch):
        unwound = []

        def work() -> None:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            finally:
                unwound.append(True)

        monkeypatch.setattr(cli, "app", work)
        assert command() == (143, "", "")
        assert unwound == [True]

    def test_a_bug_keeps_its_traceback(self, monkeypatch):
        def fail() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(ZeroDivisionError):
            cli.main()

    def test_help_is_no_mistake(self, command):
        code, output, _ = command("--help")
        assert code == 0
        assert all(name in output for name in ("demo", "nightly", "serve", "report", "ui"))

    def test_nothing_at_all_gets_the_help(self, command):
        code, output, errors = command()
        assert code == 2
        assert "nightly" in output + errors


class TestProcess:
    def test_what_is_written_is_the_owner_s(self, command, monkeypatch, tmp_path):
        """Catalogue row G13: the mode of a new file, whatever the umask was."""
        os.umask(0)

        def work() -> None:
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "file").touch()
            sys.exit(0)

        monkeypatch.setattr(cli, "app", work)
        command()
        assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        ("needed", "heavy"),
        [
            ("cli", {"prefect", "mlflow", "sklearn", "great_expectations", "pandas", "ibis"}),
            ("plan, results", {"prefect", "mlflow", "sklearn", "great_expectations"}),
        ],
    )
    def test_the_heavy_libraries_wait_until_they_are_needed(self, nights, tmp_path, needed, heavy):
        """The second line is what it takes to say that a night is already published."""
        code = f"import sys; from pipelines import {needed}\nprint(sorted({heavy} & set(sys.modules)))"
        assert nights.python(code, tmp_path, PYTHONPATH=str(nights.ROOT)).stdout == "[]\n"

    def test_nothing_reports_home_unless_the_user_says_so(self, nights, tmp_path):
        code = (
            "import os, pipelines; print(*(os.environ[name] for name in ('DO_NOT_TRACK', 'MLFLOW_DISABLE_TELEMETRY')))"
        )
        said = [
            nights.python(code, tmp_path, PYTHONPATH=str(nights.ROOT), **more).stdout.split()
            for more in ({"DO_NOT_TRACK": ""}, {"DO_NOT_TRACK": "0"})
        ]
        assert said == [["true"], ["0", "true"]]


class TestPrefectHome:
    @pytest.fixture
    def home(self, tmp_path, monkeypatch) -> Path:
        for name in ("PREFECT_HOME", "PREFECT_API_URL", "PREFECT_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        return tmp_path

    def test_its_state_lies_under_the_root_which_may_be_new(self, home, monkeypatch):
        monkeypatch.setenv("PREFECT_HOME", "")
        monkeypatch.delenv("PREFECT_HOME")
        cli._set_environment(home / "a" / "var")
        assert os.environ["PREFECT_HOME"] == str(home / "a" / "var" / "prefect")
        assert (home / "a" / "var" / "prefect").stat().st_mode & 0o777 == 0o700
        monkeypatch.setenv("PREFECT_HOME", "so that it is put back")

    @pytest.mark.parametrize("name", ["PREFECT_HOME", "PREFECT_API_URL", "PREFECT_PROFILE"])
    def test_a_prefect_of_the_user_s_own_is_left_alone(self, home, monkeypatch, name):
        monkeypatch.setenv(name, "mine")
        cli._set_environment(home / "var")
        assert os.environ.get("PREFECT_HOME") == ("mine" if name == "PREFECT_HOME" else None)
        assert not (home / "var").exists()

    def test_so_are_profiles(self, home):
        write(home / ".prefect" / "profiles.toml", "")
        cli._set_environment(home / "var")
        assert "PREFECT_HOME" not in os.environ


@pytest.mark.slow
class TestNights:
    def test_a_report_is_written_again_with_the_same_bytes(self, command, two_nights, nights):
        reports = two_nights.second.settings.root / "reports"
        before = nights.hashes(reports)
        code, output, errors = command("report", "--config", two_nights.config)
        assert (code, errors) == (0, "")
        assert two_nights.second.run_key in output, "the newest night"
        assert "Customers" in output
        assert nights.hashes(reports) == before

    def test_a_published_night_is_shown_and_not_run(self, command, two_nights, nights):
        before = nights.hashes(two_nights.first.settings.root)
        code, output, errors = command("nightly", "--config", two_nights.config, "--as-of", nights.LAST_DAY)
        assert (code, errors) == (0, "")
        assert output.startswith(f"Night {two_nights.first.run_key} of 2024-12-31 is already published: nothing to do.")
        assert nights.hashes(two_nights.first.settings.root) == before

    def test_it_says_what_tomorrow_brings(self, alone_night):
        output = alone_night.first.output
        for word in ("Customers", "Rows", "Money", "Churn", "Rules", "Campaigns", "Contacts", "Files"):
            assert f"\n{word} " in output
        assert "works" in output
        assert all(Path(line.split()[-1]).exists() for line in output.splitlines() if line.endswith((".html", ".xlsx")))
