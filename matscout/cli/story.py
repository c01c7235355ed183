"""`matscout explain`: a candidate's whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.context import open_for_reading, the_campaign
from matscout.cli.output import print_json
from matscout.db.documents import CandidatePrediction, Selection
from matscout.db.labels import Label
from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from matscout.db.store import Store
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space

SHORT_CALCULATION_ID = 8
"""Characters of a calculation's id that are shown."""

SHORTEST_ID = 4
"""Characters of an id that are taken for the beginning of one."""


def tell(candidate: str, file: Path | None, store: str | None, *, as_json: bool) -> None:
    """Tell the story of a candidate, by formula or the beginning of its id.

    Raises
    ------
    UserError
        No candidate of the campaign is called so, or several are.
    """
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import enumerate_space

    with open_for_reading(file, store) as (opened, campaign_id):
        campaign = the_campaign(opened, campaign_id)
        spec = CampaignSpec.model_validate(campaign["spec"])
        space = enumerate_space(spec)
        row = find_candidate(candidate, space, spec)
        story = _story(opened, campaign, spec, space, row)
    if as_json:
        print_json(story)
    else:
        for line in _lines(story):
            echo(line)


def find_candidate(candidate: str, space: Space, spec: CampaignSpec) -> int:
    """Find the row of a candidate by its formula or the beginning of its id.

    Raises
    ------
    UserError
        No candidate of the campaign is called so, or several are.
    """
    from pymatgen.core import Composition

    try:
        formula = Composition(candidate).reduced_formula
    except (ValueError, OverflowError):
        formula = candidate
    formulas, ids = space.table.formulas, space.table.ids
    by_id = len(candidate) >= SHORTEST_ID
    rows = [n for n, i in enumerate(ids) if formulas[n] == formula or (by_id and i.startswith(candidate))]
    if not rows:
        close = nearest(candidate, set(formulas))
        raise UserError(f"no candidate {candidate} in campaign {spec.name}." + (f" Nearest: {close}." if close else ""))
    if len(rows) > 1:
        listed = ", ".join(f"{ids[row][:8]} ({_decoration(space, row)})" for row in rows[:8])
        listed += f" and {len(rows) - 8} more" if len(rows) > 8 else ""
        raise UserError(f"{len(rows)} candidates are {candidate}: name one by its id: {listed}")
    return rows[0]


def _decoration(space: Space, row: int) -> str:
    from pymatgen.core import Element

    prototype = space.table.prototypes[space.table.prototype_index[row]]
    numbers = space.table.decoration[row]
    roles = ", ".join(
        f"{role} {Element.from_Z(int(z)).symbol}" for role, z in zip(prototype.roles, numbers, strict=False)
    )
    return f"{prototype.name}: {roles}"


def _story(store: Store, campaign: dict[str, Any], spec: CampaignSpec, space: Space, row: int) -> dict[str, Any]:
    candidate_id = space.table.ids_at([row])[0]
    prototype = space.table.prototypes[space.table.prototype_index[row]]
    query = {"campaign": campaign["_id"], "selection.chosen.candidate_id": candidate_id}
    found = store.collection("selections").find_one(query)
    selection = Selection.model_validate(found["selection"]) if found else None
    passed = _passed_over(store, campaign["_id"], candidate_id)
    candidate = store.collection("candidates").find_one({"_id": f"{campaign['_id']}/{candidate_id}"})
    calculation = store.collection("calculations").find_one({"_id": candidate["calculation_id"]}) if candidate else None
    label = store.collection("labels").find_one({"_id": f"{campaign['_id']}/{candidate_id}"})
    return {
        "candidate_id": candidate_id,
        "formula": space.table.formulas_at([row])[0],
        "prototype": prototype.name,
        "prototype_label": prototype.label,
        "prototype_source": prototype.source,
        "decoration": _decoration(space, row),
        "predicted_volume": float(space.table.volume[row]),
        "columns": {name: _plain(values[row]) for name, values in space.table.columns.items()},
        "campaign": campaign["_id"],
        "features": {"sets": list(spec.surrogate.features), "n_features": len(space.features.names)},
        "selection": _selection(selection, candidate_id),
        "same_crystal_as": passed,
        "outlook": None if calculation else _outlook(store, spec, space, row),
        "attempts": calculation["attempts"] if calculation else [],
        "calculation_state": calculation["state"] if calculation else None,
        "calculation": calculation["result"] if calculation else None,
        "label": {k: v for k, v in label.items() if k not in {"_id", "campaign"}} if label else None,
    }


def _passed_over(store: Store, campaign_id: str, candidate_id: str) -> str | None:
    """Return the candidate that is the same crystal as one that was passed over."""
    rounds = store.collection("selections").find({"campaign": campaign_id}, {"selection.passed_over": 1})
    # Not every server answers with an empty "selection" where nothing was passed over.
    found = (document.get("selection", {}).get("passed_over", {}).get(candidate_id) for document in rounds)
    return next((other for other in found if other), None)


def _outlook(store: Store, spec: CampaignSpec, space: Space, row: int) -> dict[str, Any] | None:
    from matscout.workflows.campaign.state import stored_outlook

    outlook = stored_outlook(store, spec, space)
    if outlook is None:
        return None
    return {
        "distance": float(outlook.mean[row] - outlook.hull_energy[row]),
        "std": float(outlook.std[row]),
        "probability": float(outlook.probability[row]),
        "model": outlook.model,
    }


def _plain(value: Any) -> float | str | None:
    if isinstance(value, str):
        return str(value)
    number = float(value)
    return number if number == number else None  # noqa: PLR0124  NaN is not JSON


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"


def _selection(selection: Selection | None, candidate_id: str) -> dict[str, Any] | None:
    if selection is None:
        return None
    prediction = next(p for p in selection.chosen if p.candidate_id == candidate_id)
    return {
        "round": selection.round,
        "reason": selection.reason,
        "of": len(selection.chosen),
        "n_train": selection.n_train,
        "model": selection.model,
        "prediction": prediction.model_dump(mode="json"),
    }


def _lines(story: dict[str, Any]) -> list[str]:
    columns = "".join(f", {name.replace('_', ' ')} {_said(value)}" for name, value in story["columns"].items() if value)
    lines = [
        f"{story['formula']}   candidate {story['candidate_id']} of campaign {story['campaign']}",
        f"prototype    {story['decoration']} ({story['prototype_label']}; {story['prototype_source']})",
        f"input        predicted volume {story['predicted_volume']:.2f} Å³/atom{columns}",
        f"features     {story['features']['n_features']} of {', '.join(story['features']['sets'])}, before relaxation",
    ]
    if story["selection"]:
        lines += _lines_of_choice(story["selection"])
    elif story["same_crystal_as"]:
        lines.append(f"chosen       never: it is the same crystal as candidate {story['same_crystal_as']}")
    else:
        lines += _lines_of_outlook(story["outlook"], calculated=story["calculation"] is not None)
    lines += _lines_of_calculation(story)
    if story["label"]:
        label = Label.model_validate(story["label"])
        lines += _lines_of_label(label) + _lines_of_checks(label)
    return lines


def _lines_of_outlook(outlook: dict[str, Any] | None, *, calculated: bool) -> list[str]:
    if outlook is None:
        return [
            "chosen       never" + (": calculated by --exhaustive" if calculated else ", and nothing was learned yet")
        ]
    return [
        "chosen       never: other candidates came first",
        f"prediction   {outlook['distance']:+.3f} ± {outlook['std']:.3f} eV/atom from the hull as it stands",
        f"             P(stable) {outlook['probability']:.2f}",
    ]


def _lines_of_choice(selection: dict[str, Any]) -> list[str]:
    prediction = CandidatePrediction.model_validate(selection["prediction"])
    lines = [
        f"chosen       round {selection['round']}, place {prediction.rank} of {selection['of']}: {selection['reason']}"
    ]
    if prediction.mean is not None and prediction.std is not None and prediction.hull_energy is not None:
        distance = prediction.mean - prediction.hull_energy
        error = selection["model"]["calibration"]["mae"]
        tested = "too few to cross-validate" if error is None else f"error in cross-validation {error:.3f} eV/atom"
        lines += [
            (
                f"prediction   {distance:+.3f} ± {prediction.std:.3f} eV/atom from the hull as it stood, "
                f"P(stable) {prediction.probability:.2f}"
            ),
            f"             learned from {selection['n_train']} calculations; {tested}",
        ]
    return lines


def _lines_of_calculation(story: dict[str, Any]) -> list[str]:
    result = story["calculation"]
    attempts = len(story["attempts"])
    if result is None:
        return [f"calculation  {_unfinished(story)}"]
    how = f"{result['protocol']} {result['protocol_id'][:4]}, attempt {attempts}, {result['seconds']:.1f} s"
    if result["outcome"] != "completed":
        ended = f"gave up after {attempts} attempts" if result["outcome"] == "gave_up" else "failed"
        lines = [f"calculation  {ended} ({result['cause']}): {printable(result['message'] or '')} ({how})"]
        return [*lines, f"             more of it: matscout logs {result['id'][:SHORT_CALCULATION_ID]}"]
    kept = {True: "prototype kept", False: "relaxed into another prototype", None: "prototype not compared"}
    return [
        f"calculation  {result['energy_per_atom']:.4f} eV/atom after {result['n_steps']} steps ({how})",
        (
            f"             {result['final_volume']:.2f} Å³/atom, space group {result['space_group_before']} -> "
            f"{result['space_group_after']}, {kept[result['prototype_kept']]}"
        ),
    ]


def _unfinished(story: dict[str, Any]) -> str:
    """Say where a calculation is that has no result."""
    attempts = story["attempts"]
    if story["calculation_state"] is None:
        return "none"
    if not attempts:
        return "waits to be started"
    last = attempts[-1]
    if story["calculation_state"] == "running":
        return f"attempt {last['number']} is in a job or runs, since {last['started']}"
    cause = f" ({last['cause']})" if last["cause"] else ""
    return f"waits for attempt {last['number'] + 1}: the last one {last['outcome']}{cause}"


def _lines_of_checks(label: Label) -> list[str]:
    from matscout.cli.sentences import check_words

    lines = []
    for name, check in label.checks.items():
        verdict = {True: "passed", False: "unstable against displacements", None: "nothing is known"}[check.passed]
        lines.append(f"check        {verdict}: {check_words(name, check)}")
        if check.energy_change is not None:
            group = f", space group {check.space_group_after}" if check.space_group_after else ""
            lines.append(f"             {check.energy_change:+z.4f} eV/atom from its own energy{group}")
        if check.outcome != "completed":
            lines.append(f"             more of it: matscout logs {check.calculation_id[:SHORT_CALCULATION_ID]}")
    return lines


def _lines_of_label(label: Label) -> list[str]:
    from matscout.cli.sentences import products, remark

    # Labels of earlier versions have no words for it.
    judged = label.judged_against or ", ".join(f"{n} of {size} elements" for size, n in label.competitors.items())
    lines = [
        (
            f"hull         {label.e_above_hull:.3f} eV/atom above, decomposition energy "
            f"{label.decomposition_energy:+.3f}, formation energy {label.formation_energy:.3f} eV/atom"
        ),
        f"             decomposes to {products(label)}",
        f"             hull {label.hull_version}, competitors: {judged}; correction {label.correction}"
        + (f" ({label.correction_version})" if label.correction_version else ""),
    ]
    if remark(label):
        lines.append(f"             {remark(label)}")
    return lines
