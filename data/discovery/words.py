"""Words: what the name of a column is about, in the usual words of several languages.

A name is cut into its words (``Kunden_Nr``, ``customerID``, ``Bestelldatum``), and each word stands for one or
several concepts such as ``customer`` or ``id``. English, German, French, Spanish, Portuguese and Swedish are known.
"""

import re
import unicodedata
from functools import lru_cache

CONCEPTS: dict[str, str] = {
    "customer": """customer customers cust client clients cliente clientes kunde kunden kund kunder member members
        mitglied mitglieds medlem user users usuario utilisateur utente benutzer household shopper buyer kaufer kaeufer
        acheteur comprador subscriber abonnent reviewer account konto guest patron donor policyholder debitor debitoren
        klient person persons subject auftraggeber abnehmer""",
    "order": """order orders bestellung bestellungs bestell bestellungen auftrag auftrags commande commandes pedido
        pedidos encomenda bestallning bestallnings invoice invoices rechnung rechnungs rechnungen facture factura
        facturas fatura faktura fakturadatum receipt beleg bon kassenbon ticket kvitto transaction transactions
        transaktion transaktions transaktionen transaccion transacao basket warenkorb cart panier sale vorgang vorgangs
        vente ventes venta ventas venda vendas trans kop purchase purchases kauf achat achats compra compras checkout
        ordre albaran lieferschein booking buchung buchungs tx txn verkaufsbeleg kaufbeleg""",
    "product": """product products produkt produkts produkte artikel article articles articulo articulos artigo artigos
        produit produits producto productos produto produtos item items sku stock ean gtin upc isbn asin vara varu varor
        ware material plu art clothing prod""",
    "line": """line lines ext extended lineitem position positions pos zeile ligne linea linha rad sequential seq lfd
        posnr""",
    "campaign": "campaign campaigns kampagne kampagnen kampanj campagne campana campanha mailing aktion aktions",
    "id": """id ids no nr num number nummer numero codigo cod code kod key pk fk uuid guid ref reference referencia nro
        referenz kennung identifier schluessel schlussel matricule kennzahl numer nbr index numret""",
    "unique": "unique master golden eindeutig unico unik",
    "quantity": """quantity qty quant menge mengen anzahl stuck stueck stk quantite qte cantidad cant quantidade qtd
        qtde antal units unidades pieces pcs pieza piezas volume mangd count""",
    "unit": "unit einzel styck unitaire unitario unitaria per each unite unidad a",
    "price": """price prices preis preise prix precio precios preco precos pris apris vkpreis vk tarifa fee fees avgift
        manadsavgift gebuhr gebuehr monatsgebuhr grundgebuhr cuota mensualite mensalidade""",
    "amount": """amount amounts betrag umsatz umsatze umsaetze summe gesamt gesamtpreis total totale montant importe
        valor value wert belopp summa sales revenue turnover netto net brutto gross spend erlos chiffre omsattning monto
        subtotal positionswert warenwert bruttobetrag nettowert bruttowert""",
    "discount": "discount discounts rabatt rabatte remise descuento desconto nachlass skonto rebate disc",
    "coupon": "coupon coupons gutschein voucher bon cupon",
    "tax": "tax taxes mwst ust steuer tva iva vat moms impuesto imposto",
    "shipping": "shipping freight versand versandkosten porto frete envio livraison frakt",
    "time": """date dates datum fecha data day tag time zeit hora heure timestamp zeitpunkt jour dia tid datetime dt at
        on ts zeitstempel created creation erstellt angelegt dag placed when datetid dato horodatage uhrzeit
        erdat belegdatum tidpunkt""",
    "later": """approved delivered delivery shipped estimated due updated update modified geandert liefer lieferung
        versand faellig fallig zahlung zahlungs paid payment payments entrega livraison leverans leveransdatum answer
        carrier
        expiry valid sent limit deadline shipping versanddatum vencimiento vencimento echeance forfallo""",
    "start": """start starts started begin beginn beginnt von from debut inicio signup join joined registration
        registered registriert angelegt since seit inscription alta anmeldung anmelde enrolled first desde cadastro
        erstkauf opened
        eroffnet registrado inscrit startdatum sedan depuis open""",
    "end": """end ends ended ende bis until fin fim slut slutdatum till close closed kuendigung kundigung
        kuendigungsdatum expires resiliation uppsagning""",
    "birth": """birth born dob yob birthday birthdate bday geburt geburts geboren naissance nacimiento nascimento
        fodelse""",
    "age": "age alter altersgruppe edad idade alder",
    "year": "year jahr annee ano ar yr yob",
    "gender": "gender sex geschlecht sexe sexo genero kon anrede",
    "region": """region regions country countries land pais pays state states bundesland provincia province lan county
        geography territory gebiet estado""",
    "city": "city stadt ort ville ciudad cidade town municipio",
    "zip": "zip plz postleitzahl postal postcode cep postnr postnummer",
    "address": "address street strasse str adresse rue calle direccion direction rua endereco gata adress hausnummer",
    "email": "email mail mejl epost correo courriel emails",
    "phone": "phone tel telefon telefono telephone mobile handy mobil cell celular telefone telefonnummer msisdn",
    "person": """surname firstname lastname fullname vorname nachname prenom apellido apellidos sobrenome fornamn
        efternamn familienname familyname givenname""",
    "name": """name names bezeichnung nom nombre nome namn titel title designation description beschreibung descripcion
        descricao libelle beskrivning benamning desc""",
    "brand": "brand marke marque marca varumarke manufacturer hersteller fabricant fabricante",
    "category": """category categories kategorie warengruppe warengruppen categorie categoria kategori type group gruppe
        family familie famille familia familj class klasse rubrique rubrik subcategory""",
    "department": "department abteilung rayon departamento departement avdelning division sparte",
    "cost": "cost costs kosten einkauf einkaufs ek cout costo custo kostnad inkop",
    "list": "list uvp rrp listen",
    "channel": "channel channels kanal canal vertriebsweg vertriebskanal",
    "till": "till kasse register terminal caisse caja kassa caixa",
    "store": "store stores filiale filial shop laden magasin tienda loja butik markt outlet branch boutique",
    "currency": "currency waehrung wahrung devise moneda moeda valuta curr wkz",
    "segment": "segment kundengruppe kundensegment",
    "tier": "tier loyalty stufe level niveau",
    "manager": "manager betreuer vertreter kundenbetreuer",
    "arm": "arm treatment treated variant variante behandlung testgruppe control kontroll kontrollgruppe",
    "label": """churn churned exited attrition abgewandert gekundigt gekuendigt churner lapsed leaver abwanderung target
        response quit y resilie baja cancelou""",
    "outcome": """visit visits visited conversion conversions converted spend spent responded purchase purchases
        purchased bought click clicked""",
    "plan": """plan tariff tarif contract vertrag subscription abo abonnement plano suscripcion forfait assinatura
        abonnemang""",
    "consent": """consent consents optin opt einwilligung einwilligungen consentement consentimiento samtycke newsletter
        permission granted erteilt""",
    "purpose": "purpose zweck finalite finalidad finalidade andamal",
    "rating": "rating ratings score note bewertung sterne nota betyg valoracion satisfaction nps overall stars",
    "comment": """arende reklamation klagomal reclamation reclamo queja case comment comments kommentar review reviews
        text feedback comentario beschwerde complaint message""",
    "cents": "cents cent pence centimes minor ct centavos centimos rappen pennies",
    "status": "status zustand statut storno state",
    "kind": "type typ art tipo kind vorgangsart belegart",
    "code EUR": "eur euro euros",
    "code USD": "usd dollar dollars",
    "code GBP": "gbp pounds sterling",
    "code SEK": "sek kronor kr",
    "code BRL": "brl reais",
    "code CHF": "chf franken",
    "code JPY": "jpy yen",
}

LANGUAGES: dict[str, str] = {
    "de": "kunde kunden kundennummer bestell bestellung auftrag rechnung artikel menge anzahl preis einzel betrag "
    "datum nummer umsatz bezeichnung filiale warengruppe vorname nachname gesamt",
    "fr": "commande facture produit quantite prix montant unitaire acheteur naissance prenom",
    "es": "pedido factura articulo producto cantidad precio importe fecha venta",
    "pt": "pedido encomenda fatura produto quantidade preco valor venda",
    "sv": "kund kunder bestallning faktura vara artikelnr antal pris belopp summa kop ordrenr orderdatum",
}
"""Words that one language has and the others mostly lack."""

_STOP = frozenset(
    [
        "the",
        "of",
        "de",
        "du",
        "da",
        "do",
        "des",
        "la",
        "le",
        "el",
        "in",
        "i",
        "im",
        "und",
        "and",
        "e",
        "et",
        "y",
        "x",
        "my",
        "our",
    ]
)
_OF_A_PERSON = frozenset(["first", "last", "given", "family", "full", "middle", "contact"])
_LINKS = ("", "s", "n", "en", "e", "es")


def _fold(text: str) -> str:
    """Return a text in small letters without accents."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).casefold()
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


_KNOWN: dict[str, frozenset[str]] = {}
for _concept, _words in CONCEPTS.items():
    for _word in _words.split():
        _KNOWN[_word] = _KNOWN.get(_word, frozenset()) | {_concept}


@lru_cache(maxsize=10_000)
def words(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, folded, compounds cut where every part is known.

    Examples
    --------
    >>> words("customerID"), words("Kundennummer"), words("order_purchase_timestamp")
    (('customer', 'id'), ('kunden', 'nummer'), ('order', 'purchase', 'timestamp'))
    """
    text = re.sub(r"(?<=[a-z0-9äöüßéèñåç])(?=[A-ZÄÖÜÅÉ])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    text = re.sub(r"(?i)\be[-_ ]?(mail|post)\b", "email", text)
    folded = re.sub(r"\b(number|num|no|nb|nombre|anzahl|numero)[ _.]+(of|de|der)[ _.]+", "quantity ", _fold(text))
    return tuple(part for token in re.findall(r"[^\W\d_]+|\d+", folded) for part in _parts(token))


@lru_cache(maxsize=10_000)
def _parts(token: str) -> tuple[str, ...]:
    """Cut a compound into known words, the longest first; a token that cannot be cut stays whole."""
    if token in _KNOWN or token in _STOP or len(token) < 5:
        return (token,)
    for length in range(len(token) - 2, 2, -1):
        head = token[:length]
        if head not in _KNOWN:
            continue
        for link in _LINKS:
            rest = token[length + len(link) :]
            if not token[length:].startswith(link) or len(rest) < 2:
                continue
            further = _parts(rest)
            if all(part in _KNOWN for part in further):
                return (head, *further)
    return (token,)


def concepts(name: str) -> tuple[frozenset[str], ...]:
    """Return what each word of a column's name may be about; an unknown word is about nothing.

    Words that carry no meaning are left out.
    """
    return tuple(_KNOWN.get(word, frozenset()) for word in words(name) if word not in _STOP or word in _KNOWN)


def about(name: str) -> frozenset[str]:
    """Return every concept of a column's name.

    Examples
    --------
    >>> sorted(about("Einzelpreis")), sorted(about("fecha_pedido"))
    (['price', 'unit'], ['order', 'time'])
    """
    return frozenset[str]().union(*concepts(name))


def is_personal(name: str) -> bool:
    """Return whether a column's name promises names, addresses, dates of birth or ways to reach a person.

    Examples
    --------
    >>> [is_personal(name) for name in ("E-Mail", "Vorname", "customer_name", "product_name", "Surname", "Phone")]
    [True, True, True, False, True, True]
    """
    found = about(name)
    if "birth" in found and "year" in found:
        return False
    if found & {"email", "person", "birth", "address"}:
        return not found & {"consent"}
    if "phone" in found:
        return not found & {"kind", "quantity"}
    return "name" in found and ("customer" in found or not _OF_A_PERSON.isdisjoint(words(name)))


def fit(name: str, required: frozenset[str], optional: frozenset[str] = frozenset()) -> float:
    """Return how well a name says a set of concepts, from 0 to 1: 1 where it says these and nothing else."""
    tokens = concepts(name)
    if not required <= frozenset[str]().union(*tokens):
        return 0.0
    score = 1.0
    for token in tokens:
        if not token:
            score -= 0.12
        elif not token & (required | optional) and not any(concept.startswith("code ") for concept in token):
            score -= 0.3
    return max(score, 0.05)


def language(names: list[str]) -> str | None:
    """Return the language that most of the names speak, null for English or where few words say so."""
    spoken = [word for name in names for word in words(name)]
    counts = {code: sum(word in set(known.split()) for word in spoken) for code, known in LANGUAGES.items()}
    best = max(counts, key=lambda code: counts[code])
    rivals = [code for code in counts if counts[code] == counts[best]]
    return best if counts[best] >= 2 and len(rivals) == 1 else None
