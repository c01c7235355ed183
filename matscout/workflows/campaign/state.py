"""What a store knows of a campaign, for those who only read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.workflows.campaign.reference_plan import plan_references
from matscout.workflows.campaign.references import build_references
from matscout.workflows.campaign.stages import look_ahead, read_reference_entries
from matscout.workflows.launch.controller import stored_results

if TYPE_CHECKING:
    from matscout.db.store import Store
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Outlook, Space


def stored_outlook(store: Store, spec: CampaignSpec, space: Space) -> Outlook | None:
    """Predict every candidate from all that the store holds now.

    Returns
    -------
    The outlook, or None where references are missing or too few candidates were calculated to learn from.
    """
    plan = plan_references(spec, space.table, read_reference_entries(spec))
    ids = {request.id for request in plan.requests}
    done = stored_results(store, ids)
    if len(done) < len(ids):
        return None
    candidates = store.collection("candidates").find({"campaign": spec.id}, {"candidate_id": 1, "calculation_id": 1})
    calculations = {document["candidate_id"]: document["calculation_id"] for document in candidates}
    by_id = stored_results(store, calculations.values())
    results = {candidate: by_id[one] for candidate, one in calculations.items() if one in by_id}
    return look_ahead(spec, space, build_references(spec, space.table, plan, done), results)
