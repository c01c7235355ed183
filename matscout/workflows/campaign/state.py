"""What a store knows of a campaign, for those who only read."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matscout.workflows.campaign.energies import hull_entry
from matscout.workflows.campaign.outlook import look_ahead, present_hull
from matscout.workflows.campaign.reference_plan import entry_name, plan_references
from matscout.workflows.campaign.references import build_references
from matscout.workflows.campaign.stages import read_reference_entries
from matscout.workflows.launch.attempts import stored_results

if TYPE_CHECKING:
    from pymatgen.core.entries import ComputedEntry

    from matscout.db.documents import CalculationResult
    from matscout.db.store import Store
    from matscout.workflows.campaign.outlook import Outlook
    from matscout.workflows.campaign.reference_plan import ReferencePlan
    from matscout.workflows.campaign.references import References
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space
    from matscout.workflows.stability.hull import Hull


@dataclass(frozen=True)
class StoredState:
    """All that stands on a campaign's hull, as the store holds it now.

    Attributes
    ----------
    plan, references
        The references, and what they were made from.
    results
        Results of candidates, by candidate id, failed ones included.
    """

    spec: CampaignSpec
    space: Space
    plan: ReferencePlan
    references: References
    results: dict[str, CalculationResult]

    def hull(self) -> Hull:
        """Build the hull that labels made now are made with."""
        return present_hull(self.space, self.references, self.results)

    def entries(self) -> list[ComputedEntry]:
        """Return the entries of that hull with their crystals, under its ids."""
        options = self.spec.references
        given: list[ComputedEntry]
        if options.source == "file" and not options.recompute:
            given = [copy(entry) for entry in self.plan.entries]
            for entry in given:
                entry.entry_id = entry_name(entry)
        else:
            on_hull = set(self.references.ids)
            given = [copy(entry) for entry in self.references.crystals if entry.entry_id in on_hull]
        protocol_of = dict(zip(self.references.ids, self.references.protocols, strict=True))
        for entry in given:
            entry.data = {**entry.data, "protocol": protocol_of[str(entry.entry_id)]}
        own = self.references.own
        done = (one for one in sorted(self.results) if self.results[one].outcome == "completed")
        return [*given, *(hull_entry(own, self.results[one], f"candidate:{one}") for one in done)]


def stored_state(store: Store, spec: CampaignSpec, space: Space) -> StoredState | None:
    """Read what stands on a campaign's hull; None where references are still to be calculated."""
    plan = plan_references(spec, space.table, read_reference_entries(spec))
    ids = {request.id for request in plan.requests}
    done = stored_results(store, ids)
    if len(done) < len(ids):
        return None
    candidates = store.collection("candidates").find({"campaign": spec.id}, {"candidate_id": 1, "calculation_id": 1})
    calculations = {document["candidate_id"]: document["calculation_id"] for document in candidates}
    by_id = stored_results(store, calculations.values())
    results = {candidate: by_id[one] for candidate, one in calculations.items() if one in by_id}
    return StoredState(spec, space, plan, build_references(spec, space.table, plan, done), results)


def stored_outlook(store: Store, spec: CampaignSpec, space: Space) -> Outlook | None:
    """Predict every candidate from all that the store holds now.

    Returns
    -------
    The outlook, or None where references are missing or too few candidates were calculated to learn from.
    """
    state = stored_state(store, spec, space)
    return None if state is None else look_ahead(spec, space, state.references, state.results)
