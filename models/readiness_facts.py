"""What a company's data are like, as plain values: the facts on which the readiness report rests its answers."""

from dataclasses import dataclass
from datetime import date

from models.evaluation import Estimate, wilson


def share_of(n_hits: float, n_rows: int) -> Estimate | None:
    """Return a share with its interval (Wilson 1927); null where there are no rows.

    Examples
    --------
    >>> str(share_of(5, 50))
    '0.1 [0.04348, 0.2136]'
    """
    return Estimate(n_hits / n_rows, *wilson(n_hits, n_rows), n_rows) if n_rows else None


@dataclass(frozen=True)
class ColumnFacts:
    """One column of an accepted table: its name, and the share of rows in which it is null."""

    name: str
    missing: Estimate | None


@dataclass(frozen=True)
class Finding:
    """Something that is not as the contract says: its name, in how many rows, and how grave it is."""

    name: str
    n_rows: int
    severity: str


@dataclass(frozen=True)
class TableFacts:
    """What became of a raw table.

    Parameters
    ----------
    name
        Name of the contract.
    n_rows, n_accepted, n_quarantined, n_duplicates
        Rows in, and where they went; all but the first are 0 where the table was refused.
    rows_cents, accepted_cents, quarantined_cents, duplicates_cents
        Sums of the contract's money; null for a contract without any.
    reasons
        Why rows are in quarantine, most frequent first. A row may have several reasons.
    warnings
        What is odd and was accepted.
    problem
        Why a night would stop at this table; null where it would not.
    columns
        Delivered columns.
    absent
        Columns of the contract that were not delivered.
    unmapped
        Columns of the files that nobody asked for.
    is_accepted
        Whether the accepted rows can be used.
    """

    name: str
    n_rows: int
    n_accepted: int = 0
    n_quarantined: int = 0
    n_duplicates: int = 0
    rows_cents: int | None = None
    accepted_cents: int | None = None
    quarantined_cents: int | None = None
    duplicates_cents: int | None = None
    reasons: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    problem: str | None = None
    columns: tuple[ColumnFacts, ...] = ()
    absent: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    is_accepted: bool = False

    @property
    def is_reconciled(self) -> bool:
        """Whether rows and money in equal accepted + quarantined + duplicates; false for a refused table."""
        sides = (self.accepted_cents, self.quarantined_cents, self.duplicates_cents)
        cents = self.rows_cents is None or self.rows_cents == sum(side or 0 for side in sides)
        rows = self.n_rows == self.n_accepted + self.n_quarantined + self.n_duplicates
        return self.is_accepted and rows and cents


@dataclass(frozen=True)
class Gap:
    """Days in a row without any line, on weekdays that usually have some; both ends are such days."""

    first_on: date
    last_on: date
    n_days: int


@dataclass(frozen=True)
class Month:
    """Lines, net sales in cents and new customers of a local month; ``month`` is its first day."""

    month: date
    n_lines: int
    sales_cents: int
    n_new_customers: int


@dataclass(frozen=True)
class LineFacts:
    """What the accepted lines hold.

    Parameters
    ----------
    first_on, last_on
        Local days of the first and the last line.
    n_days, n_open_days
        Local days from first to last, and those with lines.
    late
        Share of lines that became known on a later day than they happened; null where nothing says when.
    returns_share
        Money given back as a share of money taken; null where no money was taken.
    anonymous, anonymous_money_share
        Share of lines without a customer, and of the money taken.
    unknown_product
        Share of lines whose product is not in the catalogue.
    n_customers, repeat
        Customers who bought, and the share of them who did on two days or more.
    purchases
        How many customers bought on so many days, in words.
    top_tenth_share
        Share of the money that the tenth of customers who spend most gave; null without money.
    """

    n_lines: int
    n_orders: int
    sales_cents: int
    first_on: date
    last_on: date
    n_days: int
    n_open_days: int
    gaps: tuple[Gap, ...]
    months: tuple[Month, ...]
    late: Estimate | None
    returns_share: float | None
    anonymous: Estimate | None
    anonymous_money_share: float | None
    unknown_product: Estimate | None
    n_customers: int
    repeat: Estimate | None
    purchases: tuple[tuple[str, int], ...]
    top_tenth_share: float | None

    @property
    def n_gap_days(self) -> int:
        """Days without lines that should have had some."""
        return sum(gap.n_days for gap in self.gaps)


@dataclass(frozen=True)
class BaseRate:
    """How many eligible customers bought nothing in the horizon after a local day."""

    observed_on: date
    horizon_days: int
    n_churned: int
    churned: Estimate | None

    @property
    def n_eligible(self) -> int:
        """Customers who had bought lately enough to be asked about."""
        return self.churned.n_rows if self.churned else 0


@dataclass(frozen=True)
class ChurnFacts:
    """What counts as leaving, and how often it happens.

    Parameters
    ----------
    horizon_days, is_capped, sentence
        The horizon of a night, whether the history is too short for the one that the gaps ask for, and why.
    is_set
        Whether the configuration sets the horizon instead of the gaps.
    eligible_days
        A customer counts with a purchase in so many days before.
    by_horizon
        Base rates of several horizons that end with the data.
    by_date
        Base rates of the horizon, at each date that a night would learn from or judge on.
    n_training_dates
        Dates to learn from; 0 where the history is too short for any.
    problem
        Why there is no horizon, or no dates; null where there is nothing to say.
    """

    horizon_days: int | None
    is_capped: bool
    sentence: str
    is_set: bool
    eligible_days: int
    by_horizon: tuple[BaseRate, ...]
    by_date: tuple[BaseRate, ...]
    n_training_dates: int
    problem: str | None = None


@dataclass(frozen=True)
class ColumnPower:
    """How well one column alone ranks a label (AUC out of fold, .5 for nothing), and where it is missing."""

    name: str
    auc: float
    missing: Estimate | None


@dataclass(frozen=True)
class LabelFacts:
    """A label that came with the customers: its name, the share who left, and what each other column says of it."""

    column: str
    share: Estimate | None
    n_unlabelled: int
    columns: tuple[ColumnPower, ...]


@dataclass(frozen=True)
class BasketFacts:
    """What is bought together.

    Parameters
    ----------
    kind
        What an item is: ``category`` or, where the catalogue has none, ``product``.
    with_category
        Share of sold lines whose product has a category.
    n_baskets, n_items, items_per_basket
        Orders with an item, different items, and their mean number in an order.
    several
        Share of baskets with two items or more.
    min_support, n_frequent_items, n_frequent_pairs
        Items, and pairs of them, in at least that share of the baskets.
    n_customers
        Customers with a basket.
    """

    kind: str
    with_category: Estimate | None
    n_baskets: int
    n_items: int
    items_per_basket: float
    several: Estimate | None
    min_support: float
    n_frequent_items: int
    n_frequent_pairs: int
    n_customers: int


@dataclass(frozen=True)
class Detectable:
    """The smallest difference that a comparison would find in four of five cases.

    Parameters
    ----------
    outcome
        What is compared.
    kind
        ``cents`` a customer, ``share`` of customers, or ``number`` in the unit of the outcome.
    usual
        Mean of the outcome without treatment.
    smallest
        The difference, in the same unit.
    """

    outcome: str
    kind: str
    usual: float
    smallest: float


@dataclass(frozen=True)
class TrialFacts:
    """One campaign or trial: who was treated, who was not, and whether the two can be compared.

    Parameters
    ----------
    name
        Of the campaign, or of the file.
    is_randomised
        What the data declare; null where they say nothing.
    arms
        Customers by arm.
    has_control
        Whether somebody was left alone on purpose. Else the customers who were not in the campaign stand in.
    n_treated, n_control
        Customers on the two sides.
    has_ended
        Whether the outcome is known; null where no end is given.
    largest_difference, n_imbalanced, n_covariates
        Standardised differences of what was known before (Austin 2009), and how many exceed a tenth.
    propensity_auc
        How well what was known before tells the sides apart, out of fold; .5 where it does not.
    ratio_p_value
        Whether the control arm is as large as the declared chance says; null where none is declared.
    detectable
        The smallest effects that could be found.
    """

    name: str
    is_randomised: bool | None
    arms: tuple[tuple[str, int], ...]
    has_control: bool
    n_treated: int
    n_control: int
    has_ended: bool | None
    largest_difference: float | None = None
    n_imbalanced: int = 0
    n_covariates: int = 0
    propensity_auc: float | None = None
    ratio_p_value: float | None = None
    detectable: tuple[Detectable, ...] = ()


@dataclass(frozen=True)
class Contactable:
    """Who may be contacted for a purpose: by their own statements, by assumption, or nobody because nothing says so."""

    purpose: str
    share: Estimate | None
    source: str


@dataclass(frozen=True)
class Facts:
    """All of it; null for what the data do not have."""

    tables: tuple[TableFacts, ...]
    lines: LineFacts | None = None
    churn: ChurnFacts | None = None
    label: LabelFacts | None = None
    baskets: BasketFacts | None = None
    n_campaigns: int = 0
    n_ended_campaigns: int = 0
    trials: tuple[TrialFacts, ...] = ()
    contactable: tuple[Contactable, ...] = ()
