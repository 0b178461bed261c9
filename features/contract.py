"""Which contract the customer has, at what fee, since when and until when."""

import ibis

from features.measures import trend
from features.registry import Expression, feature

NONE_RUNNING = "no running contract"
DAYS_OF_A_YEAR = 365


@feature(view="contracts", unit="count")
def n_contracts(contracts: ibis.Table) -> Expression:
    """Versions of contracts that are running."""
    return contracts.is_running.sum()


@feature(view="contracts", unit="cents", null=NONE_RUNNING)
def contract_fee_cents(contracts: ibis.Table) -> Expression:
    """Sum of the fees of the running contracts; a contract without a fee counts as none."""
    return contracts.fee_cents.fill_null(0).sum(where=contracts.is_running)


@feature(view="contracts", unit="index", null="no running contract whose version before had a fee")
def contract_fee_trend(contracts: ibis.Table) -> Expression:
    """Fees of the running contracts against those of the versions before them: above 0 is dearer, 0 unchanged."""
    where = contracts.is_running & contracts.before_fee_cents.notnull() & contracts.fee_cents.notnull()
    return trend(contracts.fee_cents.sum(where=where), contracts.before_fee_cents.sum(where=where))


@feature(view="contracts", unit="days", null=NONE_RUNNING)
def contract_days(contracts: ibis.Table) -> Expression:
    """Local calendar days since the first day of the oldest running version."""
    return contracts.age_days.max(where=contracts.is_running)


@feature(view="contracts", unit="days", null=NONE_RUNNING)
def contract_anniversary_days(contracts: ibis.Table) -> Expression:
    """Days to the next anniversary, in years of 365 days, of the running version that has it first."""
    to_anniversary = DAYS_OF_A_YEAR - contracts.age_days % DAYS_OF_A_YEAR
    return to_anniversary.min(where=contracts.is_running)


@feature(view="contracts", unit="days", null="no running contract with an end that was known")
def contract_to_end_days(contracts: ibis.Table) -> Expression:
    """Days to the first end of a running contract that a delivery after its first day had told."""
    return contracts.to_end_days.min()


@feature(view="contracts", unit="days", null="no contract that has ended")
def contract_ended_days(contracts: ibis.Table) -> Expression:
    """Local calendar days since a contract or a version of one last ended."""
    return contracts.ended_days.min()


@feature(view="contracts", unit="count", lookback=364)
def n_contract_changes_364d(contracts: ibis.Table) -> Expression:
    """Versions that began in the last 364 days, without the customer's very first."""
    return contracts.count(where=~contracts.is_first & (contracts.age_days <= 364))
