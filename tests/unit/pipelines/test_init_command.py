"""The command that proposes a configuration: what it writes, prints, asks and refuses."""

import io
import stat
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from data.errors import ConfigError
from pipelines.commands.init import init, write_proposal
from pipelines.settings import Settings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write a small shop with two files, one damaged and one of no use."""
    folder = tmp_path / "files"
    folder.mkdir()
    lines = [
        f"{n // 2};{n // 2 % 9};A{n % 5};{n % 3 + 1};{n % 7 + 1},50;{n % 12 + 1:02}/{n % 11 + 1:02}/2011"
        for n in range(80)
    ]
    header = "Auftrag;Kunde;Artikel;Menge;Einzelpreis;Datum"
    (folder / "sales[1].csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    people = [f"{n};Name{n};n{n}@example.org;Nord" for n in range(9)]
    (folder / "people.csv").write_text("\n".join(["Kunde;Nachname;Email;Region", *people]) + "\n", encoding="utf-8")
    (folder / "broken.parquet").write_bytes(b"PAR1")
    (folder / "notes.docx").write_bytes(b"PK")
    return folder


def run(paths: list[Path], config: Path, **options: object) -> str:
    stream = io.StringIO()
    write_proposal(paths, config, Console(file=stream, width=160, highlight=False), **options)
    return stream.getvalue()


def test_what_is_written_loads_and_is_private(shop, tmp_path):
    config = tmp_path / "regulars.toml"
    run([shop], config)
    settings = Settings.read(config)
    assert settings.sources is not None
    assert set(settings.sources.tables) == {"customers", "identities", "transactions"}
    assert settings.sources.transactions.path == "files/sales[1].csv"
    assert settings.decisions.assumed_consent == ()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_printed(shop, tmp_path):
    printed = run([shop], tmp_path / "regulars.toml")
    assert "sales[1].csv" in printed
    assert "transactions" in printed
    assert "Auftrag, Kunde, Artikel" in printed
    assert "date_format" in printed
    assert "skipped: notes.docx: files that end in .docx are not read" in printed
    assert "skipped: broken.parquet" in printed
    assert "Next: regulars check --config" in printed
    assert "@example.org" not in printed


def test_a_configuration_that_is_there_is_not_touched_without_force(shop, tmp_path):
    config = tmp_path / "regulars.toml"
    config.write_text("root = 'mine'\n")
    with pytest.raises(ConfigError, match="is there already"):
        run([shop], config)
    assert config.read_text() == "root = 'mine'\n"
    run([shop], config, force=True)
    assert "[sources.transactions]" in config.read_text()


def test_questions_are_asked_and_answered(shop, tmp_path):
    config = tmp_path / "regulars.toml"
    asked: list[tuple[str, tuple[str, ...]]] = []

    def ask(question: str, choices: tuple[str, ...], default: str) -> str:
        asked.append((question.partition(":")[0], tuple(choices)))
        return {"company.timezone": "Europe/Vienna", "transactions.date_format": "the month comes first"}.get(
            asked[-1][0], default
        )

    printed = run([shop], config, ask=ask)
    settings = Settings.read(config)
    assert settings.company.timezone == "Europe/Vienna"
    assert settings.sources.transactions.date_format == "%m/%d/%Y"
    assert ("transactions.date_format", ("the day comes first", "the month comes first")) in asked
    assert f"{len(asked)} answered" in printed


def test_an_answer_that_is_not_allowed_is_asked_again(shop, tmp_path):
    answers = iter(["Mars/Phobos", "Europe/Vienna"])

    def ask(question: str, choices: tuple[str, ...], default: str) -> str:
        return next(answers) if "timezone" in question else default

    run([shop], tmp_path / "regulars.toml", ask=ask)
    assert Settings.read(tmp_path / "regulars.toml").company.timezone == "Europe/Vienna"


def test_without_a_terminal_nothing_is_asked(shop, tmp_path):
    app = typer.Typer()
    app.command()(init)
    result = CliRunner().invoke(app, [str(shop), "--config", str(tmp_path / "regulars.toml")])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "regulars.toml").read_text()
    assert "UNSURE: no field is above 12: dates could be month first, %m/%d/%Y" in text


def test_paths_and_folders_that_are_no_use_are_one_line(shop, tmp_path):
    config = tmp_path / "regulars.toml"
    with pytest.raises(ConfigError, match="no file or folder"):
        run([tmp_path / "nothing"], config)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no files in"):
        run([tmp_path / "empty"], config)
    with pytest.raises(ConfigError, match=r"no file can be read: notes\.docx"):
        run([shop / "notes.docx"], config)
    with pytest.raises(ConfigError, match="no folder"):
        run([shop], tmp_path / "nowhere" / "regulars.toml")
    assert not config.exists()


def test_files_that_say_nothing_of_customers_do_not_become_the_demo(tmp_path):
    (tmp_path / "a.csv").write_text("colour,weight\nred,1.5\nblue,2.5\n")
    printed = run([tmp_path / "a.csv"], tmp_path / "regulars.toml")
    with pytest.raises(ConfigError, match=r"\[sources\] has no table"):
        Settings.read(tmp_path / "regulars.toml")
    assert "map them by hand" in printed


def test_files_elsewhere_are_named_by_their_whole_path(shop, tmp_path):
    (tmp_path / "config").mkdir()
    run([shop], tmp_path / "config" / "regulars.toml")
    settings = Settings.read(tmp_path / "config" / "regulars.toml")
    assert settings.sources.transactions.path == str(shop / "sales[1].csv")


def test_a_required_column_without_a_candidate_is_a_comment_that_says_so(tmp_path):
    lines = [f"{n // 2},{n // 2 % 9},A{n % 5},3.5" for n in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["order_id,customer_id,product_id,price", *lines]) + "\n")
    run([tmp_path / "a.csv"], tmp_path / "regulars.toml")
    text = (tmp_path / "regulars.toml").read_text()
    assert '# columns.event_time = "…"' in text
    with pytest.raises(ConfigError, match="event_time"):
        Settings.read(tmp_path / "regulars.toml")
