"""One contract per raw table; a table stands after the tables that it refers to."""

from data.contracts.base import Contract
from data.contracts.campaigns import CAMPAIGNS
from data.contracts.contacts import CONTACTS
from data.contracts.customers import CUSTOMERS
from data.contracts.products import PRODUCTS
from data.contracts.transactions import TRANSACTIONS

CONTRACTS: dict[str, Contract] = {
    contract.name: contract for contract in (CUSTOMERS, PRODUCTS, TRANSACTIONS, CAMPAIGNS, CONTACTS)
}
"""Every contract by the name of its table."""
