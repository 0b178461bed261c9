"""Decide: one action per customer, within budget, consent and holdout."""

import pandas as pd
import pyarrow as pa

from models.decisions import Policy, decide
from models.holdout import assign
from pipelines.consent import TABLE as CONSENTS
from pipelines.consent import contactable, statements
from pipelines.frames import to_table
from pipelines.run import Run, Versions


def decide_actions(run: Run, versions: Versions) -> dict[str, int]:
    """Write for every customer what to do tomorrow, or that they are left alone, and why."""
    return run.stage("decide", ("actions",), lambda: {"actions": _decided(run, versions)})


def _decided(run: Run, versions: Versions) -> pa.Table:
    settings = run.settings
    scores = run.frame("scores", versions).to_pandas()
    customers = run.frame("customers", versions, sliced=False).to_pandas().set_index("customer_id")
    share = settings.decisions.holdout_share
    arms = assign(scores["customer_id"], settings.decisions.holdout_salt, {"holdout": share, "action": 1 - share})
    said = statements(settings, run.lake, versions[CONSENTS]) if CONSENTS in versions else None
    allowed = contactable(settings, said, scores["customer_id"], run.as_of)
    policy = Policy(
        n_contacts=settings.decisions.max_contacts,
        cost_per_contact_cents=settings.money.cost_per_contact_cents,
        save_share=settings.money.retain_save_share,
        extra_share=settings.money.offer_extra_share,
    )
    actions = decide(
        scores,
        run.frame("offers", versions).to_pandas(),
        policy,
        run.as_of_on,
        arms=arms,
        owners=customers["account_manager"],
        has_consent=pd.Series(allowed, index=scores["customer_id"]),
    )
    return to_table(actions, run.as_of, {"due_on": pa.date32(), "category": pa.string(), "priority": pa.int64()})
