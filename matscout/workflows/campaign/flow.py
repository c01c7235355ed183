"""A campaign as one dynamic jobflow Flow, which any jobflow manager can run.

The Flow grows as it runs: each round's job answers with the calculations it chose and the job of the next round. Jobs
pass the campaign and the ids of other jobs, whose outputs jobflow brings when a job runs; the candidates are enumerated
again where they are needed, which takes less time than to store and load them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job, Maker, OutputReference, Response, job

from matscout.db.documents import CalculationRequest, CalculationResult, Selection
from matscout.db.labels import Summary
from matscout.workflows.campaign.files import with_reference_file
from matscout.workflows.campaign.spec import CampaignSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Documents = dict[str, dict[str, Any]]


@dataclass
class ScreeningMaker(Maker):
    """Make the Flow of a campaign.

    Attributes
    ----------
    spec
        The campaign.
    name
        Name of the Flow.

    Examples
    --------
    >>> spec = CampaignSpec(
    ...     name="fluorides",
    ...     space={"prototypes": ["cubic-perovskite"], "elements": {"A": ["K", "Rb"], "B": ["Mg"], "X": ["F"]}},
    ...     budget={"calculations": 2},
    ... )
    >>> flow = ScreeningMaker(spec).make()
    >>> [job.name for job in flow.jobs]
    ['plan references']
    """

    spec: CampaignSpec
    name: str = "screening"

    def make(self) -> Flow:
        """Return the Flow; its output is the campaign's `Summary` as a dictionary."""
        spec = with_reference_file(self.spec, Path.cwd())  # a manager may run the jobs in folders of their own
        first = plan_references_job(spec.model_dump(mode="json"))
        first.name = "plan references"
        return Flow([first], output=first.output, name=f"{self.name} {self.spec.name}")


def _calculations(requests: Mapping[str, CalculationRequest]) -> tuple[list[Job], dict[str, str]]:
    """Make one job for each calculation, and return the ids of the jobs by the same keys."""
    jobs = {}
    for key, request in requests.items():
        one = calculate_job(request.model_dump(mode="json"))
        one.name = f"{request.protocol} {request.subject}"
        jobs[key] = one
    return list(jobs.values()), {key: one.uuid for key, one in jobs.items()}


def _round(
    spec: dict[str, Any],
    references: dict[str, str],
    candidates: dict[str, str],
    selections: list[dict[str, Any]],
    checks: dict[str, str] | None = None,
) -> Job:
    """Make the job of a round, which is given the outputs of those jobs, and their ids to pass on."""
    outputs = {key: OutputReference(uuid) for key, uuid in references.items()}
    results = {key: OutputReference(uuid) for key, uuid in candidates.items()}
    checked = {key: OutputReference(uuid) for key, uuid in (checks or {}).items()}
    one = round_job(spec, outputs, results, selections, {"references": references, "candidates": candidates}, checked)
    one.name = "summary" if checks else f"round {len(selections)}"
    return one


def _results(documents: Documents) -> dict[str, CalculationResult]:
    return {key: CalculationResult.model_validate(document) for key, document in documents.items()}


@job
def calculate_job(request: dict[str, Any]) -> dict[str, Any]:
    """Run one calculation, writing no files; a failed one is an output like any other."""
    from matscout.workflows.calculations.run import calculate

    return calculate(CalculationRequest.model_validate(request)).model_dump(mode="json")


@job
def plan_references_job(spec: dict[str, Any]) -> Response[Any]:
    """Answer with the calculations of the references and the first round."""
    from matscout.workflows.campaign.reference_plan import plan_references
    from matscout.workflows.campaign.stages import enumerate_space, read_reference_entries

    campaign = CampaignSpec.model_validate(spec)
    plan = plan_references(campaign, enumerate_space(campaign).table, read_reference_entries(campaign))
    jobs, uuids = _calculations({request.id: request for request in plan.requests})
    first_round = _round(spec, uuids, {}, [])
    return Response(replace=Flow([*jobs, first_round], output=first_round.output))


@job
def round_job(
    spec: dict[str, Any],
    references: Documents,
    results: Documents,
    selections: list[dict[str, Any]],
    uuids: dict[str, dict[str, str]],
    checks: Documents,
) -> Response[Any] | dict[str, Any]:
    """Label what is there, and answer with the next round or, when a stop rule holds, with the checks or the summary.

    Parameters
    ----------
    references, results
        Outputs of calculations: of references by calculation id, of candidates by candidate id.
    selections
        What was chosen so far.
    uuids
        Ids of the jobs of these outputs.
    checks
        Outputs of the checks of what was found, by calculation id.
    """
    campaign = CampaignSpec.model_validate(spec)
    chosen = [Selection.model_validate(selection) for selection in selections]
    step = next_step(campaign, _results(references), _results(results), chosen, _results(checks))
    if isinstance(step, Summary):
        return step.model_dump(mode="json")
    selection, requests = step
    jobs, new = _calculations(requests)
    if selection is None:
        following = _round(spec, uuids["references"], uuids["candidates"], selections, new)
    else:
        candidates = uuids["candidates"] | new
        following = _round(spec, uuids["references"], candidates, [*selections, selection.model_dump(mode="json")])
    return Response(replace=Flow([*jobs, following], output=following.output))


def next_step(
    spec: CampaignSpec,
    reference_results: Mapping[str, CalculationResult],
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
    checks: Mapping[str, CalculationResult],
) -> Summary | tuple[Selection | None, dict[str, CalculationRequest]]:
    """Do what comes after a round: check and sum up when a stop rule holds, else choose the next candidates.

    Parameters
    ----------
    reference_results
        Results of the references' calculations, by calculation id.
    results
        Results of candidates, by candidate id.
    selections
        What was chosen so far.
    checks
        Results of checks, by calculation id.

    Returns
    -------
    The summary; or a choice and its calculations by candidate id; or no choice and those of checks by their own ids.
    """
    from matscout.workflows.campaign.checks import by_id, check_requests
    from matscout.workflows.campaign.reference_plan import plan_references
    from matscout.workflows.campaign.references import build_references
    from matscout.workflows.campaign.stages import enumerate_space, read_reference_entries, requests_of, select
    from matscout.workflows.campaign.verdict import decide, is_found, label, summarise

    space = enumerate_space(spec)
    plan = plan_references(spec, space.table, read_reference_entries(spec))
    references = build_references(spec, space.table, plan, reference_results)
    labels = label(spec, space, references, results, selections)
    stopped = decide(spec, space, results, selections, labels)
    if stopped:
        requests = by_id(check_requests(spec, filter(is_found, labels), results))
        if requests.keys() - checks.keys():
            return None, requests
        return summarise(spec, space, references, results, selections, stopped, checks)
    selection = select(spec, space, references, results, len(selections))
    return selection, requests_of(spec, space, [p.candidate_id for p in selection.chosen])
