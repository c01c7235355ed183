"""Checks of what a campaign found: each crystal again, by protocols that break its symmetry or let its atoms vibrate.

They say more of a find and never hide it, and their energies stand on no hull: they are another protocol's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.db.documents import CalculationRequest
from matscout.db.labels import Check, Checked
from matscout.errors import UserError
from matscout.workflows.calculations.overrides import setting
from matscout.workflows.calculations.protocols import get_protocol, list_protocols

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matscout.db.documents import CalculationResult
    from matscout.db.labels import Label
    from matscout.workflows.calculations.protocols import Protocol
    from matscout.workflows.campaign.spec import CampaignSpec


def check_protocol(name: str, protocol: Protocol) -> Protocol:
    """Return the protocol of a check, with what a campaign changes of its own protocol.

    What both have alike is changed alike, so that their energies compare. Where the check has a value of its own, such
    as smaller forces before frequencies, it keeps that.

    Parameters
    ----------
    name
        Of the check.
    protocol
        The campaign's, with its overrides.

    Raises
    ------
    UserError
        The protocol of that name checks nothing, or calculates otherwise than the campaign's.

    Examples
    --------
    >>> relax = get_protocol("chgnet-relax", {"fmax_eV_per_A": 0.1, "optimizer": "FIRE"})
    >>> check_protocol("chgnet-phonons", relax).overrides
    {'optimizer': 'FIRE'}
    """
    check, unchanged = get_protocol(name), get_protocol(protocol.name)
    alike = (protocol.code, protocol.functional)
    if "check" not in check.settings or (check.code, check.functional) != alike:
        known = [p.name for p in list_protocols() if "check" in p.settings and (p.code, p.functional) == alike]
        wrong = f"is of {check.code}, not of {protocol.code}" if "check" in check.settings else "checks nothing"
        instead = f"choose of {', '.join(known)}" if known else f"none fits {protocol.name}, so leave checks out"
        raise UserError(f"protocol {name} {wrong}: {instead}")
    return check.with_overrides(
        {
            key: value
            for key, value in protocol.overrides.items()
            if setting(check.settings, key, ...) == setting(unchanged.settings, key, ...)
        }
    )


def check_requests(
    spec: CampaignSpec, found: Iterable[Label], results: Mapping[str, CalculationResult]
) -> dict[str, dict[str, CalculationRequest]]:
    """Make the calculations that check crystals, from their relaxed geometries.

    Parameters
    ----------
    found
        Labels of what is to be checked.
    results
        Results of candidates, by candidate id.

    Returns
    -------
    Requests by candidate id and name of the protocol.
    """
    protocols = spec.check_protocols()
    if not protocols:
        return {}
    requests = {}
    for x in found:
        geometry = results[x.candidate_id].geometry
        assert geometry is not None, "a completed calculation has a geometry"
        requests[x.candidate_id] = {
            protocol.name: CalculationRequest.of(
                geometry,
                protocol=protocol.name,
                protocol_id=protocol.id,
                subject=f"candidate:{x.candidate_id}",
                overrides=protocol.overrides,
            )
            for protocol in protocols
        }
    return requests


def by_id(requests: Mapping[str, Mapping[str, CalculationRequest]]) -> dict[str, CalculationRequest]:
    """Return such requests by their ids."""
    return {request.id: request for several in requests.values() for request in several.values()}


def with_checks(
    labels: Iterable[Label],
    requests: Mapping[str, Mapping[str, CalculationRequest]],
    results: Mapping[str, CalculationResult],
    checks: Mapping[str, CalculationResult],
) -> list[Label]:
    """Add to labels what their checks came to.

    Parameters
    ----------
    requests
        As from `check_requests`.
    results
        Results of candidates, by candidate id.
    checks
        Results of checks, by calculation id, failed ones included.
    """
    return [
        x.model_copy(
            update={
                "checks": {
                    name: _check(checks[request.id], results[x.candidate_id])
                    for name, request in requests.get(x.candidate_id, {}).items()
                    if request.id in checks
                }
            }
        )
        for x in labels
    ]


def _check(check: CalculationResult, candidate: CalculationResult) -> Check:
    known: dict[str, object] = {"passed": None}
    if check.outcome == "completed":
        assert check.dynamics is not None, "a completed check says whether the crystal is stable"
        assert check.energy_per_atom is not None, "a completed calculation has an energy"
        assert candidate.energy_per_atom is not None, "only what has an energy is found"
        known = {
            "energy_change": check.energy_per_atom - candidate.energy_per_atom,
            "prototype_kept": check.prototype_kept,
            "space_group_after": check.space_group_after,
            "dynamics": check.dynamics,
            "passed": check.dynamics.stable and check.prototype_kept is not False,
        }
    return Check.model_validate(
        {
            "calculation_id": check.id,
            "protocol_id": check.protocol_id,
            "outcome": check.outcome,
            "cause": check.cause,
            **known,
        }
    )


def count(found: Iterable[Label]) -> Checked:
    """Count how many of the crystals found pass their checks."""
    passed = [x.passed for x in found]
    return Checked(n_found=len(passed), n_passed=passed.count(True), n_unstable=passed.count(False))
