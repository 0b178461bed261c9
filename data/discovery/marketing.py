"""Marketing: the sections of campaigns, contacts, trials, consents, subscriptions and feedback."""

from data.discovery.lines import World, reach
from data.discovery.match import best, control_value, outcomes, own_key, ranking
from data.discovery.profile import ColumnProfile
from data.discovery.proposal import FOUND, Draft, Entry, found_share, says
from data.discovery.words import words

_KINDS = {
    "complaint": {"complaint", "complaints", "beschwerde", "beschwerden", "reklamation", "reklamationen", "klagomal",
                  "reclamation", "reclamations", "queja", "quejas", "reclamacao", "reclamacoes", "reclamos"},
    "survey": {"survey", "surveys", "nps", "umfrage", "umfragen", "enquete", "encuesta", "encuestas", "pesquisa"},
}  # fmt: skip


def marketing(world: World) -> list[Draft]:
    """Return the sections that files are there for, in the order of the contracts."""
    made = (
        _consents(world),
        _subscriptions(world),
        _campaigns(world),
        _contacts(world),
        _feedback(world),
        _trial(world),
    )
    return [draft for draft in made if draft is not None]


def _campaigns(world: World) -> Draft | None:
    for profile in world.of("campaigns"):
        draft = Draft("campaigns", profile)
        draft.map("campaign_id", best(profile, "campaign_id"))
        for target, said in (("name", "campaign_name"), ("kind", "kind"), ("channel", "channel")):
            draft.map(target, best(profile, said, draft.used))
        draft.map("starts_on", best(profile, "starts_on", draft.used))
        draft.map("ends_on", best(profile, "ends_on", draft.used))
        draft.notes.append("add constants.is_randomised = true if chance decided who was contacted, and only then")
        return draft
    return None


def _contacts(world: World) -> Draft | None:
    for profile in world.of("contacts"):
        draft = Draft("contacts", profile)
        campaign = best(profile, "campaign_id")
        draft.map("campaign_id", campaign)
        draft.map("customer_id", best(profile, "customer_id", draft.used))
        arm = best(profile, "arm", draft.used)
        if arm is not None:
            _arm(draft, arm)
        else:
            unsure = "no column tells who was left alone: everybody counts as contacted, and no effect can be measured"
            draft.constant("arm", "contacted", "no column looks like an arm", unsure)
        time = best(profile, "assigned_at", draft.used)
        if time is None and campaign is not None:
            time = _start_of_campaign(world, draft, campaign)
        if time is None:
            draft.lack("assigned_at", "when were they chosen? Name a column, or set constants.assigned_at to a day")
        draft.map("assigned_at", time)
        return draft
    return None


def _start_of_campaign(world: World, draft: Draft, campaign: ColumnProfile) -> ColumnProfile | None:
    """Join the campaigns, whose start is when their contacts were chosen at the latest."""
    for profile in world.of("campaigns"):
        key, start = best(profile, "campaign_id"), best(profile, "starts_on")
        if key is None or start is None or not key.is_unique or start.name in draft.profile.sample.files.layout.names:
            continue
        share = found_share(world.connection, (draft.profile, campaign), (profile, key))
        if share >= FOUND:
            draft.joins.append((profile, campaign.name, key.name, f"{share:.0%} of {campaign.name} found there"))
            return start
    return None


def _arm(draft: Draft, arm: ColumnProfile) -> None:
    """Map an arm, its control under the name that the contract has for it."""
    control = control_value(arm)
    counts = ", ".join(f"{value}: {n:,}" for value, n in arm.values.items())
    draft.map("arm", arm, counts)
    if control is None:
        draft.entries.append(
            Entry("values.arm", {"…": "control"}, (), "which value means left alone?", is_active=False)
        )
    elif control != "control":
        evidence = f"{control} is the arm that was left alone"
        unsure = "0 is taken for the control" if control == "0" else ""
        draft.entries.append(Entry("values.arm", {control: "control"}, (evidence,), unsure))


def _trial(world: World) -> Draft | None:
    """Return a flat trial: one row per participant, the arm and what came of it."""
    for profile in world.of("trial"):
        draft = Draft("trials", profile)
        name = profile.label.split(".")[0].strip("*-_ ") or "trial"
        draft.constant("trial_id", name, "the file's name")
        key = best(profile, "customer_id") or own_key(profile)
        if key is not None and key.is_unique:
            draft.map("customer_id", key)
        else:
            draft.entries.append(Entry("columns.customer_id", "$row", ("no column numbers the participants",)))
        arm = best(profile, "arm", draft.used)
        if arm is not None:
            _arm(draft, arm)
        _outcome(draft)
        time = best(profile, "assigned_at", draft.used)
        draft.map("assigned_at", time)
        return draft
    return None


def _outcome(draft: Draft) -> None:
    money = {"spend", "spent", "revenue", "amount"}
    found = [column for column in outcomes(draft.profile) if column.name not in draft.used]
    spent = next((column for column in found if money & set(words(column.name))), None)
    flags = [column for column in found if column is not spent]
    flags.sort(
        key=lambda column: not {"conversion", "converted", "purchase", "bought", "purchased"} & set(words(column.name))
    )
    chosen = flags[0] if flags else spent
    if chosen is not None:
        others = {column.name: column.name for column in (chosen, *flags[1:])}
        unsure = f"which outcome counts? Also there: {', '.join(list(others)[1:])}" if len(others) > 1 else ""
        draft.used[chosen.name] = chosen
        draft.entries.append(Entry("columns.outcome", chosen.name, (says(chosen),), unsure, others if unsure else {}))
    if spent is not None and spent is not chosen:
        draft.used[spent.name] = spent
        draft.entries.append(Entry("money.spend_cents", {"column": spent.name}, (says(spent),)))


def _consents(world: World) -> Draft | None:
    for profile in world.of("consents"):
        draft = Draft("consents", profile)
        draft.map("customer_id", best(profile, "customer_id"))
        draft.map("purpose", best(profile, "purpose", draft.used))
        flags = [c for c in ranking(profile, "consent") if c.name not in draft.used and c.n_distinct <= 2]
        if flags:
            draft.map("is_granted", flags[0])
            _flag_words(draft, flags[0])
        else:
            draft.lack("is_granted", "name the column that says whether the customer agreed")
        time = next((column for column in profile.usable if column.kind == "date"), None)
        if time is None:
            draft.lack("event_time", "name the column that says when the customer agreed or refused")
        draft.map("event_time", time)
        return draft
    return None


def _flag_words(draft: Draft, flag: ColumnProfile) -> None:
    """Replace words for yes and no that a flag does not know by themselves."""
    yes, no = (
        {"ja", "j", "oui", "si", "sí", "sim", "granted", "erteilt"},
        {"nein", "non", "não", "nao", "nej", "refused"},
    )
    known = {value: "true" for value in flag.values if value.casefold() in yes}
    known |= {value: "false" for value in flag.values if value.casefold() in no}
    if known and flag.kind in {"flag", "text"}:
        draft.entries.append(Entry("values.is_granted", known, ("in the words of the file",)))


def _subscriptions(world: World) -> Draft | None:
    for profile in world.of("subscriptions"):
        draft = Draft("subscriptions", profile)
        draft.map("customer_id", best(profile, "customer_id"))
        draft.map("plan", best(profile, "plan", draft.used) or best(profile, "product_id", draft.used))
        draft.map("started_on", best(profile, "starts_on", draft.used))
        draft.map("ended_on", best(profile, "ends_on", draft.used))
        fee = best(profile, "price", draft.used) or best(profile, "amount", draft.used)
        if fee is not None:
            draft.used[fee.name] = fee
            draft.entries.append(Entry("money.fee_cents", {"column": fee.name}, (says(fee),)))
        return draft
    return None


def _feedback(world: World) -> Draft | None:
    for profile in world.of("feedback"):
        draft = Draft("feedback", profile)
        customer = best(profile, "customer_id")
        if customer is None:
            reach(world, draft)
            for source, *_ in reversed(draft.joins):
                repeating = [c for c in ranking(source, "customer_id") if len(draft.joins) == 1 or not c.is_unique]
                customer = customer or (repeating[0] if repeating else None)
        key = next((column for column in ranking(profile, "feedback_id") if column.is_unique), None) or own_key(profile)
        if key is None:
            draft.entries.append(Entry("columns.feedback_id", "$row", ("no column numbers the statements",)))
        draft.map("feedback_id", key)
        time = best(profile, "feedback_time", draft.used)
        rating = best(profile, "rating", draft.used)
        if customer is None or time is None:
            draft.is_active = False
            draft.notes.append(
                f"no column says {'who' if customer is None else 'when'}: statements without it do not count"
            )
        draft.map("customer_id", customer)
        draft.map("event_time", time)
        _kind(draft)
        _rating(draft, rating)
        draft.map("text", best(profile, "text", [*draft.used, *([key.name] if key else [])]))
        return draft
    return None


def _kind(draft: Draft) -> None:
    """Say what kind of statement these are, by the file's name where it says so."""
    said = set(words(draft.profile.label.partition(".")[0]))
    kind = next((kind for kind, names in _KINDS.items() if names & said), None)
    if kind is not None:
        draft.constant("kind", kind, "the file's name")
    else:
        draft.constant("kind", "review", "statements with a rating or a text", "survey, review, complaint or claim?")


def _rating(draft: Draft, rating: ColumnProfile | None) -> None:
    draft.map("rating", rating)
    if rating is not None and rating.high is not None:
        scale = next((top for top in (5, 10, 100) if rating.high <= top), None)
        if scale is not None:
            draft.constant("rating_max", scale, f"ratings go from {rating.low:g} to {rating.high:g}")
