"""One frozen, typed object holds every setting of a run; it is read from ``regulars.toml`` and passed down.

Unknown keys are errors that name the nearest valid key, because a typo that is silently ignored changes a night.
"""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from data.errors import ConfigError
from data.identity.settings import Identity
from data.pseudonyms import Privacy
from data.retention import Retention
from data.sources.keys import config_error
from data.sources.mapping import Sources


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Company(_Section):
    """Whose customers these are, in which currency they pay and on which clock its shops live.

    A line in a currency other than ``currency`` is rejected, because its cents would be added to different cents.
    """

    name: str = "Complete Journey (demo)"
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="ISO 4217")
    currency_symbol: str = "$"
    timezone: str = "America/New_York"

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = f"no such time zone {value!r}; use an IANA name such as Europe/Berlin"
            raise ValueError(msg) from error
        return value


class Source(_Section):
    """Where the raw tables come from: the demo package, or a folder with one Parquet file per contract table."""

    kind: Literal["demo", "parquet"] = "demo"
    path: Path | None = None

    @model_validator(mode="after")
    def _has_path_if_any(self) -> Self:
        if (self.kind == "parquet") != (self.path is not None):
            msg = "kind 'parquet' needs a path and kind 'demo' takes none"
            raise ValueError(msg)
        return self


class Engine(_Section):
    """What answers queries, and what it may use; ``None`` leaves it to the engine.

    Spark builds the features where ``kind`` says so, all else is DuckDB's. It runs on this machine unless ``remote``
    (Spark Connect) or ``master`` say where. Counts and cents depend on none of these; the last digits of a float may
    depend on ``kind``.
    """

    kind: Literal["duckdb", "spark"] = "duckdb"
    remote: str | None = Field(default=None, pattern=r"^sc://.+")
    master: str | None = Field(default=None, min_length=1)
    threads: int | None = Field(default=None, ge=1)
    memory_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")

    @field_validator("remote", mode="before")
    @classmethod
    def _holds_no_secret(cls, value: object) -> object:
        # Whatever stands behind the host may be a token, so that no message repeats it.
        if re.search("token|password|secret|key", str(value).partition(";")[2], re.IGNORECASE):
            raise ConfigError(
                "engine.remote with a token",
                "the address of a Spark Connect server without one",
                "put the address into the environment variable SPARK_REMOTE, and leave remote out",
            )
        return value

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if self.remote is not None and self.master is not None:
            msg = "either remote or master, not both"
            raise ValueError(msg)
        if self.kind == "duckdb" and (self.remote or self.master) is not None:
            msg = 'remote and master are places of Spark: set kind = "spark"'
            raise ValueError(msg)
        return self


class Churn(_Section):
    """What counts as churned and how history is cut into observations.

    Churned is who buys nothing within the horizon; where ``kind`` is ``contract``, whose contracts end within it and
    are not renewed within ``grace_days``, and asked about is who has a running one.
    """

    kind: Literal["purchases", "contract"] = "purchases"
    grace_days: int = Field(default=0, ge=0)
    horizon_days: int | None = Field(default=None, ge=1, description="None: chosen from the purchase gaps")
    eligible_days: int | None = Field(default=None, ge=1, description="None: two horizons")
    n_training_dates: int = Field(default=7, ge=2)

    @model_validator(mode="after")
    def _has_a_horizon(self) -> Self:
        if self.kind == "contract" and self.horizon_days is None:
            msg = "purchases say nothing of how long contracts last: set horizon_days, such as 91 for a quarter"
            raise ValueError(msg)
        if self.kind != "contract" and self.grace_days:
            msg = 'grace_days is for contracts: set kind = "contract"'
            raise ValueError(msg)
        return self

    def gone(self, horizon_days: int) -> str:
        """Return in one sentence who counts as gone.

        Examples
        --------
        >>> Churn().gone(28)
        'A customer counts as gone who buys nothing for 28 days.'
        >>> Churn(kind="contract", horizon_days=91, grace_days=14).gone(91)
        'A customer counts as gone whose contract ends within 91 days and is not renewed within 14 days of that.'
        """
        if self.kind == "purchases":
            return f"A customer counts as gone who buys nothing for {horizon_days} days."
        renewed = f"within {self.grace_days} days of that" if self.grace_days else "at once"
        return f"A customer counts as gone whose contract ends within {horizon_days} days and is not renewed {renewed}."

    def eligible_within(self, horizon_days: int) -> int:
        """Return how many days before ``as_of`` a customer must have bought to be asked about.

        Examples
        --------
        >>> Churn().eligible_within(28), Churn(eligible_days=30).eligible_within(28)
        (56, 30)
        """
        return 2 * horizon_days if self.eligible_days is None else self.eligible_days


class Money(_Section):
    """What the company earns and spends. They are assumptions until the data says better, and are printed as such.

    ``offer_extra_share`` is what a message adds to the purchases that come anyway. In Hillstrom's randomised e-mail
    trial (2008) it was .54 and 1.19 for the two mails; a campaign of the company's own should replace it.
    """

    margin_share: float = Field(default=0.25, gt=0, le=1)
    cost_per_contact_cents: int = Field(default=5, ge=0)
    retain_save_share: float = Field(default=0.10, ge=0, le=1)
    offer_extra_share: float = Field(default=0.50, ge=0, le=1)


class Limits(_Section):
    """Beyond what a delivery is not believed and the run stops: what was published last still stands.

    Volume is that of the days since the last night, as a share of what these days of the week usually bring. Scores
    jump where more than this share of customers moved, by one and the same model within a week. A model is old after so
    many days; that is told, or stops the run.
    """

    rejected_share: float = Field(default=0.05, ge=0, le=1)
    low_volume_share: float = Field(default=0.5, ge=0)
    high_volume_share: float = Field(default=2.0, gt=0)
    score_jump_share: float = Field(default=0.25, ge=0, le=1)
    old_model_days: int = Field(default=180, ge=1)
    old_model: Literal["tell", "stop"] = "tell"


class Decisions(_Section):
    """How many customers may be contacted, who never is, and which purposes are allowed without a consents table."""

    max_contacts: int = Field(default=500, ge=0)
    holdout_share: float = Field(default=0.10, ge=0, lt=1)
    holdout_salt: str = Field(default="regulars", min_length=1)
    assumed_consent: tuple[str, ...] = ()


class Campaigns(_Section):
    """Which campaigns get a verdict: those of these kinds that ended long enough ago to be judged."""

    kinds: tuple[str, ...] = ()
    outcome_days: int = Field(default=28, ge=1)


class Baskets(_Section):
    """What counts as frequent, and how much later history confirms a rule."""

    min_support: float = Field(default=0.01, gt=0, lt=1)
    confirm_share: float = Field(default=0.25, gt=0, lt=1)
    not_offered: tuple[str, ...] = ()


class Schedule(_Section):
    """When the night begins, as a cron expression in the company's time zone."""

    cron: str = "0 2 * * *"


class Settings(_Section):
    """Everything a run may depend on besides its inputs, ``as_of`` and the code.

    Examples
    --------
    >>> Settings().churn.n_training_dates
    7
    """

    company: Company = Company()
    source: Source = Source()
    sources: Sources | None = None
    engine: Engine = Engine()
    limits: Limits = Limits()
    churn: Churn = Churn()
    money: Money = Money()
    decisions: Decisions = Decisions()
    identity: Identity = Identity()
    privacy: Privacy = Privacy()
    retention: Retention = Retention()
    campaigns: Campaigns = Campaigns()
    baskets: Baskets = Baskets()
    schedule: Schedule = Schedule()
    root: Path = Path("var")
    seed: int = 20_240_601

    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.sources is not None and self.source.path is not None:
            msg = "either source or sources, not both"
            raise ValueError(msg)
        if self.sources is not None:
            self.sources.check_enough()
        return self

    @property
    def folder(self) -> Path:
        """The configuration's own folder: paths of sources that are not absolute begin there."""
        return self._folder

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read settings from a TOML file.

        Raises
        ------
        ConfigError
            The file is missing, is not TOML, or holds an unknown key or a value that is not allowed.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            found = f"no file {path}" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
            raise ConfigError(found, "a regulars.toml", "name one with --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}", "valid TOML", "correct that line") from None
        try:
            settings = cls.model_validate(raw)
        except ValidationError as error:
            raise config_error(path, cls, error) from None
        settings._folder = path.parent
        return settings

    @classmethod
    def demo(cls, root: Path = Path("var/demo")) -> Self:
        """Return the settings of the demo: Complete Journey, whose mail reached people who had agreed to it."""
        return cls(
            root=root,
            decisions=Decisions(assumed_consent=("marketing", "profiling")),
            campaigns=Campaigns(kinds=("Type A",)),
            # Till entries without a product behind them.
            baskets=Baskets(not_offered=("COUPON/MISC ITEMS", "COUPONS/STORE & MFG", "FUEL", "PROD SUPPLIES")),
        )

    @property
    def lake_root(self) -> Path:
        """The folder that holds the Delta tables."""
        return self.root / "lake"

    def digest(self) -> str:
        """Return a digest of every setting that can change a result; where files lie and how many threads cannot."""
        text = self.model_dump_json(exclude={"root": True, "engine": True, "schedule": True, "source": {"path"}})
        if self.engine.kind != "duckdb":
            text += self.engine.kind
        return hashlib.sha256(text.encode()).hexdigest()
