"""Names of columns in several languages, and what they are about."""

import pytest

from data.discovery.words import about, fit, is_personal, language, words


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CustomerID", {"customer", "id"}),
        ("Kundennummer", {"customer", "id"}),
        ("kundnr", {"customer", "id"}),
        ("codCliente", {"customer", "id"}),
        ("Bestelldatum", {"order", "time"}),
        ("fecha_pedido", {"order", "time"}),
        ("InvoiceDate", {"order", "time"}),
        ("Köpdatum", {"order", "time"}),
        ("Artikelnummer", {"product", "id"}),
        ("ref_article", {"product", "id"}),
        ("Stückpreis", {"quantity", "price"}),
        ("prix_unitaire", {"price", "unit"}),
        ("quantité", {"quantity"}),
        ("antal", {"quantity"}),
        ("belopp", {"amount"}),
        ("importe", {"amount"}),
        ("number_of_cds", {"quantity"}),
        ("dollar_value", {"amount", "code USD"}),
        ("XJ7", set()),
    ],
)
def test_what_a_name_is_about(name, said):
    assert about(name) == said


def test_compounds_are_cut_only_where_every_part_is_known():
    assert words("Rechnungsnummer") == ("rechnungs", "nummer")
    assert words("Bestellwesen") == ("bestellwesen",)


def test_a_name_that_says_more_fits_less():
    exact = fit("customer_id", frozenset({"customer", "id"}))
    assert exact == 1
    assert 0 < fit("customer_city_id", frozenset({"customer", "id"})) < exact
    assert fit("city", frozenset({"customer", "id"})) == 0


@pytest.mark.parametrize(
    "name", ["E-Mail", "Nachname", "first_name", "customer name", "Straße", "Geburtsdatum", "telefono"]
)
def test_personal_names(name):
    assert is_personal(name)


@pytest.mark.parametrize("name", ["product_name", "birth_year", "email_consent", "Artikelbezeichnung", "customer_id"])
def test_names_that_are_not_personal(name):
    assert not is_personal(name)


@pytest.mark.parametrize(
    "name",
    [
        "birth_year",
        "year_of_birth",
        "Year_Birth",
        "YearOfBirth",
        "Geburtsjahr",
        "annee_naissance",
        "YOB",
        "ano nascimento",
    ],
)
def test_names_of_a_year_of_birth(name):
    assert fit(name, frozenset({"birth", "year"})) == 1
    assert not is_personal(name)


def test_language_of_the_names():
    assert language(["Kundennummer", "Artikel", "Menge"]) == "de"
    assert language(["fecha", "cantidad", "precio"]) == "es"
    assert language(["customer", "date", "Artikel"]) is None
