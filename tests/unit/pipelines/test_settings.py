"""Settings: every mistake is one line that says what to do, and every setting that changes a night is in its digest."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from data.errors import ConfigError
from data.sources import Sources
from pipelines.plan import read_settings
from pipelines.settings import Campaigns, Churn, Decisions, Settings, Source

ROOT = Path(__file__).parents[3]

# What cannot change a result: where files lie, how fast the engine is, when the night begins.
ELSEWHERE = {
    "root": Path("elsewhere"),
    "source.path": Path("raw"),
    "engine.remote": "sc://spark.example:15002",
    "engine.master": "spark://spark.example:7077",
    "engine.threads": 2,
    "engine.memory_limit": "2GB",
    "schedule.cron": "30 3 * * 1-5",
}

OTHERWISE: dict[str, object] = {
    "seed": 1,
    "engine.kind": "spark",
    "company.name": "Another",
    "company.currency": "EUR",
    "company.currency_symbol": "€",
    "company.timezone": "Europe/Berlin",
    "source.kind": "parquet",
    "sources": Sources(),
    "churn.kind": "contract",
    "churn.grace_days": 7,
    "churn.horizon_days": 28,
    "churn.eligible_days": 84,
    "churn.n_training_dates": 5,
    "money.margin_share": 0.3,
    "money.cost_per_contact_cents": 6,
    "money.retain_save_share": 0.2,
    "money.offer_extra_share": 0.4,
    "limits.rejected_share": 0.1,
    "limits.low_volume_share": 0.4,
    "limits.high_volume_share": 3.0,
    "limits.score_jump_share": 0.4,
    "limits.old_model_days": 90,
    "limits.old_model": "stop",
    "identity.merge_rules": ("email+name",),
    "identity.default_region": "DE",
    "privacy.pseudonyms": True,
    "privacy.key_file": Path("key"),
    "privacy.key_variable": "KEY",
    "retention.transactions_days": 900,
    "retention.contacts_days": 900,
    "retention.feedback_days": 900,
    "retention.quarantine_days": 900,
    "retention.history_days": 900,
    "retention.least_nights": 3,
    "decisions.max_contacts": 499,
    "decisions.holdout_share": 0.2,
    "decisions.holdout_salt": "another",
    "decisions.assumed_consent": ("marketing",),
    "campaigns.kinds": ("Type B",),
    "campaigns.outcome_days": 14,
    "baskets.min_support": 0.02,
    "baskets.confirm_share": 0.5,
    "baskets.not_offered": ("FUEL",),
}


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return the dotted name of every setting."""
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        found += fields(kind, f"{prefix}{name}.") if is_section else [f"{prefix}{name}"]
    return found


def changed(name: str, value: object) -> Settings:
    """Return the default settings with one of them changed, whether or not they go together."""
    section, _, key = name.rpartition(".")
    if not section:
        return Settings().model_copy(update={key: value})
    return Settings().model_copy(update={section: getattr(Settings(), section).model_copy(update={key: value})})


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "regulars.toml"
    path.write_text(text, encoding="utf-8")
    return Settings.read(path)


def refusal(tmp_path: Path, text: str) -> str:
    """Return the message of a configuration that must be refused; it is one line."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestDigest:
    def test_every_setting_is_on_one_of_the_two_lists(self):
        assert sorted(fields()) == sorted({*ELSEWHERE, *OTHERWISE})

    @pytest.mark.parametrize("name", sorted(OTHERWISE))
    def test_a_setting_that_can_change_a_result_changes_the_digest(self, name):
        assert changed(name, OTHERWISE[name]) != Settings(), "the changed value is the default"
        assert changed(name, OTHERWISE[name]).digest() != Settings().digest()

    @pytest.mark.parametrize("name", sorted(ELSEWHERE))
    def test_a_setting_that_cannot_change_a_result_leaves_it(self, name):
        assert changed(name, ELSEWHERE[name]) != Settings()
        assert changed(name, ELSEWHERE[name]).digest() == Settings().digest()

    def test_all_changes_have_digests_of_their_own(self):
        assert len({changed(name, value).digest() for name, value in OTHERWISE.items()}) == len(OTHERWISE)

    def test_the_order_of_sections_and_keys_is_no_setting(self, tmp_path):
        one = read(
            tmp_path, "seed = 3\n[money]\nmargin_share = 0.5\ncost_per_contact_cents = 9\n[churn]\neligible_days=7"
        )
        two = read(
            tmp_path, "seed = 3\n[churn]\neligible_days=7\n[money]\ncost_per_contact_cents = 9\nmargin_share = 0.5"
        )
        assert one.model_dump() == two.model_dump()
        assert one.digest() == two.digest()

    def test_a_whole_number_for_a_share_is_the_same_share(self, tmp_path):
        assert (
            read(tmp_path, "[money]\nmargin_share = 1").digest()
            == read(tmp_path, "[money]\nmargin_share = 1.0").digest()
        )

    def test_a_default_that_is_written_out_changes_nothing(self, tmp_path):
        assert read(tmp_path, "[churn]\nn_training_dates = 7").digest() == Settings().digest()

    @pytest.mark.slow
    def test_another_process_with_another_hash_seed_agrees(self):
        code = "from pipelines.settings import Settings; print(Settings.demo().digest())"
        command, env = [sys.executable, "-c", code], {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == Settings.demo().digest()


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "unknown", "action"),
        [
            ("[money]\nmargin = 0.3", "money.margin", "did you mean 'margin_share'?"),
            ("[churn]\nhorizn_days = 28", "churn.horizn_days", "did you mean 'horizon_days'?"),
            ("[decision]\nmax_contacts = 5", "decision", "did you mean 'decisions'?"),
            ("[baskets]\nmin_suport = 0.1", "baskets.min_suport", "did you mean 'min_support'?"),
            ("[schedule]\nxyz = 1", "schedule.xyz", "remove it, or name another"),
            ("horizon_days = 28", "horizon_days", "remove it, or name another"),
        ],
    )
    def test_an_unknown_key_is_named_with_the_nearest_valid_one(self, tmp_path, text, unknown, action):
        message = refusal(tmp_path, text)
        assert f"unknown key '{unknown}'" in message
        assert message.endswith(f"do: {action}")

    def test_the_valid_keys_are_listed(self, tmp_path):
        assert "one of cron" in refusal(tmp_path, "[schedule]\nxyz = 1")

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ("[money]\nmargin_share = 1.5", "money.margin_share = 1.5"),
            ("[money]\nmargin_share = 'half'", "money.margin_share = 'half'"),
            ("[money]\ncost_per_contact_cents = 0.5", "money.cost_per_contact_cents = 0.5"),
            ("[churn]\neligible_days = 0", "churn.eligible_days = 0"),
            ("[churn]\nn_training_dates = 1", "churn.n_training_dates = 1"),
            ("[decisions]\nholdout_share = 1", "decisions.holdout_share = 1"),
            ("[decisions]\nholdout_salt = ''", "decisions.holdout_salt = ''"),
            ("[decisions]\nassumed_consent = 'marketing'", "decisions.assumed_consent = 'marketing'"),
            ("[baskets]\nmin_support = 0", "baskets.min_support = 0"),
            ("[company]\ntimezone = 'Mars/Olympus'", "company.timezone = 'Mars/Olympus'"),
            ("[company]\ntimezone = ''", "company.timezone = ''"),
            ("[company]\ncurrency = 'dollars'", "company.currency = 'dollars'"),
            ("[engine]\nmaster = 'yarn'", "engine = {'master': 'yarn'}"),
            (
                "[engine]\nkind = 'spark'\nremote = 'sc://a'\nmaster = 'b'",
                "engine = {'kind': 'spark', 'remote': 'sc://a', 'master': 'b'}",
            ),
            ("[engine]\nkind = 'spark'\nremote = 'http://a'", "engine.remote = 'http://a'"),
            ("[engine]\nthreads = 0", "engine.threads = 0"),
            ("[engine]\nmemory_limit = 'much'", "engine.memory_limit = 'much'"),
            ("[source]\nkind = 'csv'", "source.kind = 'csv'"),
            ("seed = 'lucky'", "seed = 'lucky'"),
            ("money = 3", "money = 3"),
        ],
    )
    def test_a_wrong_value_is_named_with_its_place(self, tmp_path, text, where):
        message = refusal(tmp_path, text)
        assert f"found: {where} in {tmp_path / 'regulars.toml'}" in message
        assert message.endswith("do: correct that value")

    @pytest.mark.parametrize("remote", ["sc://a:443/;token=hidden", "sc://a/;x=1;X-Api-Key=hidden", "a;Token=hidden"])
    def test_a_token_is_refused_and_not_repeated(self, tmp_path, remote):
        message = refusal(tmp_path, f"[engine]\nkind = 'spark'\nmaster = 'b'\nremote = '{remote}'")
        assert "SPARK_REMOTE" in message
        assert "hidden" not in message

    def test_an_address_of_a_server_may_say_how_to_speak_to_it(self, tmp_path):
        remote = "sc://turkey.example:443/;use_ssl=true;user_id=night"
        text = f"[engine]\nkind = 'spark'\nremote = '{remote}'"
        (tmp_path / "regulars.toml").write_text(text, encoding="utf-8")
        assert Settings.read(tmp_path / "regulars.toml").engine.remote == remote

    @pytest.mark.parametrize("text", ["[source]\nkind = 'parquet'", "[source]\npath = 'raw'"])
    def test_a_source_that_is_only_half_said_never_runs_the_demo(self, tmp_path, text):
        assert "kind 'parquet' needs a path and kind 'demo' takes none" in refusal(tmp_path, text)

    def test_two_answers_to_where_the_rows_are_are_one_too_many(self, tmp_path):
        text = "[source]\nkind = 'parquet'\npath = 'raw'\n[sources]"
        assert "either source or sources, not both" in refusal(tmp_path, text)

    @pytest.mark.parametrize("text", ["[money", "seed = ", "= 3", "seed = 1\nseed = 2", "\x00"])
    def test_a_file_that_is_not_toml(self, tmp_path, text):
        assert "is not TOML" in refusal(tmp_path, text)

    def test_a_file_in_another_encoding(self, tmp_path):
        path = tmp_path / "regulars.toml"
        path.write_bytes("[company]\nname = 'Müller'".encode("latin-1"))
        with pytest.raises(ConfigError, match="is not TOML"):
            Settings.read(path)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(ConfigError, match=r"no file .*nowhere\.toml.*--config"):
            Settings.read(tmp_path / "nowhere.toml")

    def test_a_folder_in_its_place(self, tmp_path):
        with pytest.raises(ConfigError, match="Is a directory"):
            Settings.read(tmp_path)


class TestValues:
    def test_nothing_can_be_changed_afterwards(self):
        for part, name in ((Settings(), "seed"), (Settings().money, "margin_share")):
            with pytest.raises(ValidationError, match="frozen"):
                setattr(part, name, 1)

    def test_an_empty_file_is_the_defaults(self, tmp_path):
        assert read(tmp_path, "").model_dump() == Settings().model_dump()

    def test_the_whole_file_is_read(self, tmp_path):
        text = """
            root = "var/shop"
            seed = 7
            [source]
            kind = "parquet"
            path = "raw"
            [churn]
            horizon_days = 28
            [decisions]
            assumed_consent = ["marketing"]
            [campaigns]
            kinds = ["letter", "mail"]
        """
        expected: dict[str, Any] = {
            "root": Path("var/shop"),
            "seed": 7,
            "source": Source(kind="parquet", path=Path("raw")),
            "churn": Churn(horizon_days=28),
            "decisions": Decisions(assumed_consent=("marketing",)),
            "campaigns": Campaigns(kinds=("letter", "mail")),
        }
        assert read(tmp_path, text).model_dump() == Settings(**expected).model_dump()

    def test_the_demo_judges_its_mail_and_may_send_more(self):
        demo = Settings.demo()
        assert demo.campaigns.kinds == ("Type A",)
        assert "marketing" in demo.decisions.assumed_consent
        assert demo.lake_root == Path("var/demo/lake")

    def test_it_knows_its_folder_which_is_no_setting(self, tmp_path):
        found = read(tmp_path, "")
        assert found.folder == tmp_path
        assert found.digest() == Settings().digest()
        assert "unknown key 'folder'" in refusal(tmp_path, "folder = 'elsewhere'")

    def test_a_root_on_the_command_line_wins(self, tmp_path):
        (tmp_path / "regulars.toml").write_text('root = "var"')
        assert read_settings(tmp_path / "regulars.toml", "elsewhere").root == Path("elsewhere")
        assert read_settings(str(tmp_path / "regulars.toml")).root == Path("var")
        assert read_settings(None) == Settings.demo()


class TestContracts:
    def test_contracts_need_a_horizon(self, tmp_path):
        assert "set horizon_days, such as 91" in refusal(tmp_path, '[churn]\nkind = "contract"')

    def test_grace_is_for_contracts(self, tmp_path):
        assert 'set kind = "contract"' in refusal(tmp_path, "[churn]\ngrace_days = 7")

    def test_who_counts_as_gone_is_said_in_one_sentence(self, tmp_path):
        churn = read(tmp_path, '[churn]\nkind = "contract"\nhorizon_days = 28').churn
        said = "A customer counts as gone whose contract ends within 28 days and is not renewed at once."
        assert churn.gone(28) == said
