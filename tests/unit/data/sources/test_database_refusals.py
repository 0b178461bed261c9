"""What the configuration of a database may not say, and that its address is never repeated."""

import socket
import tomllib
import traceback
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from data.errors import ConfigError, UserError
from data.sources import Sources
from data.sources.database import database_piece
from data.sources.mapping import Files

SECRET = "hunter2-Zq"

TABLE = """
[sources.customers]
%s
columns = { customer_id = "id" }
"""

Told = Callable[..., str]


@pytest.fixture
def told() -> Told:
    """Return a function that returns all that a refused reading shows, the traceback included."""

    def run(files: Files) -> str:
        with pytest.raises(UserError) as caught:
            database_piece(files, None)
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown
        assert "127.0.0.1" not in shown
        assert "\n" not in str(caught.value)
        assert "SHOP_DB" in str(caught.value)
        return str(caught.value)

    return run


def orders(**further: str) -> Files:
    return Files(connection="SHOP_DB", **({"table": "orders"} | further))


def test_a_variable_that_is_not_set(told, monkeypatch):
    monkeypatch.delenv("SHOP_DB", raising=False)
    assert "the environment variable SHOP_DB is not set" in told(orders())
    monkeypatch.setenv("SHOP_DB", f"shop:{SECRET}")
    assert "SHOP_DB holds no address" in told(orders())


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://shop:{SECRET}%@127.0.0.1:5432/shop",
        f"postgresql://shop:a@{SECRET}:x@127.0.0.1/shop",
        f"postgresql://shop:{SECRET}@127.0.0.1:notaport/shop",
        f"postgresql://shop:{SECRET}@127.0.0.1/shop?nonsense={SECRET}",
        f"postgresql://shop:{SECRET}@nowhere.invalid/shop",
        f"nonsense://shop:{SECRET}@127.0.0.1/shop",
        f"mysql://shop:{SECRET}@127.0.0.1/shop",
        f"duckdb:///nowhere/{SECRET}.duckdb",
        f"sqlite:////nowhere/{SECRET}.db",
    ],
)
def test_an_address_that_is_wrong_is_not_repeated(told, monkeypatch, address):
    monkeypatch.setenv("SHOP_DB", address)
    assert "cannot connect to SHOP_DB" in told(orders())


def test_nobody_answers(told, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SHOP_DB", f"postgresql://shop:{SECRET}@127.0.0.1:{free.getsockname()[1]}/shop")
        assert "no server answers there" in told(orders())


def test_a_wrong_password_or_database(told, postgres, monkeypatch):
    monkeypatch.setenv("SHOP_DB", postgres.address(password=SECRET))
    assert "the server refuses the user or the password" in told(orders())
    monkeypatch.setenv("SHOP_DB", postgres.address(database=SECRET))
    assert "no such database" in told(orders())


def test_a_table_a_column_or_a_right_that_is_not_there(told, postgres, monkeypatch):
    shop = postgres.database()
    postgres.run(
        shop,
        "CREATE TABLE orders (id int)",
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.clients (id int)",
        f"DROP ROLE IF EXISTS {shop}_reader",
        f"CREATE ROLE {shop}_reader LOGIN PASSWORD '{SECRET}'",
    )
    monkeypatch.setenv("SHOP_DB", postgres.address(shop))
    assert "did you mean 'orders'" in told(orders(table="Orders"))
    assert "did you mean 'crm.clients'" in told(orders(table="crm.client"))
    assert "one of crm.clients, public.orders" in told(orders(table="zzz"))
    assert 'column "idd" does not exist' in told(orders(table=None, query="SELECT idd FROM orders"))
    assert 'syntax error at or near "WHERE"' in told(orders(table=None, query="SELECT id FROM WHERE"))
    assert "has two columns 'id'" in told(orders(table=None, query="SELECT a.id, b.id FROM orders a, orders b"))
    monkeypatch.setenv("SHOP_DB", postgres.address(shop, f"{shop}_reader", SECRET))
    assert "permission denied for table orders" in told(orders())


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ('path = "a.csv"\nconnection = "SHOP_DB"\ntable = "orders"', "exactly one of them"),
        ('connection = "SHOP_DB"', "exactly one of table and query"),
        ('connection = "SHOP_DB"\ntable = "a"\nquery = "SELECT 1"', "exactly one of table and query"),
        ('path = "a.csv"\nwatermark = "n"', "give a connection"),
        ('path = "a.csv"\ntable = "orders"', "give a connection"),
        ('path = "a.csv"\njoin = [{ on = "id" }]', "exactly one of path and connection"),
        (
            'path = "a.csv"\njoin = [{ connection = "SHOP_DB", table = "t", watermark = "n", on = "id" }]',
            "remove watermark",
        ),
    ],
)
def test_keys_that_do_not_go_together(keys, found):
    with pytest.raises(ValidationError, match=found):
        Sources.model_validate(tomllib.loads(TABLE % keys)["sources"])


def test_an_address_in_the_configuration_is_refused_without_repeating_it():
    address = f"postgresql://shop:{SECRET}@127.0.0.1/shop"
    for keys in (f'connection = "{address}"\ntable = "t"', f'path = "a.csv"\nconnection = "{address}"'):
        with pytest.raises(ConfigError, match="no name of an environment variable") as caught:
            Sources.model_validate(tomllib.loads(TABLE % keys)["sources"])
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_settings_hold_the_name_and_never_the_address(monkeypatch):
    monkeypatch.setenv("SHOP_DB", f"postgresql://shop:{SECRET}@127.0.0.1/shop")
    sources = Sources.model_validate(tomllib.loads(TABLE % 'connection = "SHOP_DB"\ntable = "t"')["sources"])
    assert "SHOP_DB" in sources.model_dump_json()
    assert SECRET not in sources.model_dump_json() + repr(sources)
