"""One contract per raw table; a table stands after the tables that it refers to."""

from data.contracts.base import Contract
from data.contracts.campaigns import CAMPAIGNS
from data.contracts.consents import CONSENTS
from data.contracts.contacts import CONTACTS
from data.contracts.customers import CUSTOMERS
from data.contracts.feedback import FEEDBACK
from data.contracts.identities import IDENTITIES
from data.contracts.products import PRODUCTS
from data.contracts.subscriptions import SUBSCRIPTIONS
from data.contracts.transactions import TRANSACTIONS
from data.contracts.trials import TRIALS

CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        CUSTOMERS,
        IDENTITIES,
        CONSENTS,
        PRODUCTS,
        TRANSACTIONS,
        SUBSCRIPTIONS,
        CAMPAIGNS,
        CONTACTS,
        FEEDBACK,
        TRIALS,
    )
}
"""Every contract by the name of its table."""
