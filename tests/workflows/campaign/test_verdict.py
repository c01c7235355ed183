"""Labels, stop rules and the count, on energies made up for the purpose."""

import numpy as np
import pytest
from pymatgen.core import Composition

from matscout.db.documents import CalculationResult, CandidatePrediction, Geometry, Selection
from matscout.workflows.campaign.outlook import look_ahead, present_hull
from matscout.workflows.campaign.reference_plan import plan_references
from matscout.workflows.campaign.references import build_references
from matscout.workflows.campaign.stages import enumerate_space, requests_of, select
from matscout.workflows.campaign.verdict import decide, is_found, label, summarise
from matscout.workflows.stability.schemes import get_scheme


def result_of(request, energy, outcome="completed", geometry=None):
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=Composition("".join(request.geometry.species)).reduced_formula,
        outcome=outcome,
        cause=None if outcome == "completed" else "unknown",
        energy=energy * len(request.geometry.species) if outcome == "completed" else None,
        energy_per_atom=energy if outcome == "completed" else None,
        geometry=(geometry or request.geometry) if outcome == "completed" else None,
        prototype_kept=True,
    )


@pytest.fixture
def space(tiny):
    return enumerate_space(tiny)


@pytest.fixture
def references(tiny, space):
    """Elements at -1, binaries at -2 eV/atom."""
    plan = plan_references(tiny, space.table)
    energies = {r.id: -1.0 if len(set(r.geometry.species)) == 1 else -2.0 for r in plan.requests}
    return build_references(tiny, space.table, plan, {r.id: result_of(r, energies[r.id]) for r in plan.requests})


@pytest.fixture
def results(tiny, space):
    """Energies that depend on the elements alone: some candidates lie below the binaries, most above."""
    requests = requests_of(tiny, space, space.table.ids)
    bonus = {"Cs": -0.2, "Rb": -0.05, "K": 0.05, "Na": 0.2, "Mg": -0.1, "Ca": 0.0, "Zn": 0.15, "F": 0.0, "Cl": 0.05}
    return {
        i: result_of(request, -2.0 + sum(bonus[e] for e in sorted(set(request.geometry.species))))
        for i, request in requests.items()
    }


def chosen(space, ids, round_number, probability=None):
    table = space.table
    return Selection(
        round=round_number,
        reason="test",
        chosen=tuple(
            CandidatePrediction(
                candidate_id=i, formula=table.formulas[space.rows[i]], prototype="x", rank=n, probability=probability
            )
            for n, i in enumerate(ids, 1)
        ),
    )


def test_distances_are_to_the_hull_of_references_and_candidates(tiny, space, references, results):
    labels = {x.formula: x for x in label(tiny, space, references, results, [])}
    assert labels["CsMgF3"].e_above_hull == 0
    assert labels["CsMgF3"].decomposition_energy == pytest.approx(-0.3)
    assert labels["NaZnCl3"].e_above_hull == pytest.approx(0.4)
    assert labels["NaZnCl3"].decomposition == pytest.approx({"NaCl": 0.4, "ZnCl2": 0.6})
    assert labels["CsMgF3"].competitors == {"1": 7, "2": 2, "3": 0}  # itself is not among them
    hull = present_hull(space, references, results)
    for found in labels.values():
        assert (found.hull_version, found.hull_protocols) == (hull.version, list(hull.protocols))
        assert (found.correction, found.correction_version) == (hull.scheme, get_scheme(hull.scheme).version)


def test_the_nearest_come_first(tiny, space, references, results):
    distances = [x.e_above_hull for x in label(tiny, space, references, results, [])]
    assert distances == sorted(distances)


def test_labels_do_not_depend_on_the_order_of_arrival(tiny, space, references, results):
    backwards = dict(reversed(results.items()))
    assert label(tiny, space, references, backwards, []) == label(tiny, space, references, results, [])


def test_a_failed_candidate_has_no_label_and_no_place_on_the_hull(tiny, space, references, results):
    best = label(tiny, space, references, results, [])[0].candidate_id
    request = requests_of(tiny, space, [best])[best]
    results[best] = result_of(request, 0, outcome="failed")
    assert best not in {x.candidate_id for x in label(tiny, space, references, results, [])}
    summary = summarise(tiny, space, references, results, [chosen(space, [best], 0)], "test")
    assert [failure["candidate_id"] for failure in summary.failures] == [best]
    assert summary.found.n_failed == 1


def test_a_candidate_that_became_a_known_phase_is_no_discovery(tiny, space, references, results):
    from dataclasses import replace

    from pymatgen.entries.computed_entries import ComputedStructureEntry

    best = label(tiny, space, references, results, [])[0]
    known = ComputedStructureEntry(results[best.candidate_id].geometry.to_structure(), -10.0, entry_id="mp-1")
    aware = replace(references, crystals=(*references.crystals, known))
    again = next(x for x in label(tiny, space, aware, results, []) if x.candidate_id == best.candidate_id)
    assert again.known_as == "mp-1"
    assert again.within_threshold
    assert not is_found(again)


def test_two_candidates_that_became_one_crystal_count_once(tiny, space, references):
    """Ca and Mg on each other's place: the same formula from two decorations of two prototypes."""
    both = tiny.model_copy(
        update={
            "space": tiny.space.model_copy(
                update={
                    "prototypes": ("cubic-perovskite",),
                    "elements": {"A": ("K", "Mg"), "B": ("K", "Mg"), "X": ("F",)},
                }
            )
        }
    )
    pair = enumerate_space(both)
    first, second = pair.table.ids
    requests = requests_of(both, pair, [first, second])
    geometry = requests[first].geometry
    energies = {first: -2.4999, second: -2.5}
    found = {i: result_of(requests[i], energies[i], geometry=geometry) for i in (first, second)}
    for order in ([first, second], [second, first]):  # the one chosen first stands for both
        labels = {x.candidate_id: x for x in label(both, pair, references, found, [chosen(pair, order, 0)])}
        assert labels[order[1]].same_crystal_as == order[0]
        assert labels[order[0]].same_crystal_as is None
    counted = summarise(both, pair, references, found, [chosen(pair, [first, second], 0)], "test").found
    assert (counted.n_found, counted.n_hits) == (1, 2)


def test_what_is_within_the_threshold_is_counted_exactly_once_all_is_known(tiny, space, references, results):
    ids = sorted(results)[:10]
    summary = summarise(tiny, space, references, results, [chosen(space, ids, 0)], "test")
    near = {x.candidate_id for x in summary.labels if x.within_threshold}
    assert summary.found.exact
    assert summary.found.n_stable == len(near)
    assert summary.found.n_found == len(near & set(ids))
    assert summary.found.random_mean == pytest.approx(10 * len(near) / 24)


def test_without_a_surrogate_nothing_is_said_of_random_choice(tiny, space, references, results):
    ids = sorted(results)[:6]
    found = summarise(tiny, space, references, {i: results[i] for i in ids}, [chosen(space, ids, 0)], "test").found
    assert (found.n_stable, found.random_mean, found.enrichment, found.ceiling) == (None, None, None, None)
    assert found.n_calculated == 6


def test_what_probabilities_promised_is_set_against_what_came(tiny, space, references, results):
    ids = sorted(results)
    selections = [chosen(space, ids[:10], 0), chosen(space, ids[10:16], 1, probability=0.5)]
    some = {i: results[i] for i in ids[:16]}
    found = summarise(tiny, space, references, some, selections, "test").found
    assert found.promised == pytest.approx(3.0)
    assert found.kept == sum(
        x.within_threshold and x.round == 1 for x in label(tiny, space, references, some, selections)
    )
    assert not found.exact
    assert found.n_found <= found.n_stable <= 24


@pytest.mark.parametrize(("n", "message"), [(24, "every candidate was calculated"), (16, "the budget of 16")])
def test_a_campaign_stops_when_there_is_nothing_left_to_do(tiny, space, references, results, n, message):
    some = {i: results[i] for i in sorted(results)[:n]}
    selections = [chosen(space, sorted(some), 0)]
    assert decide(tiny, space, some, selections, []).startswith(message)


def test_barren_rounds_are_counted_from_the_end(tiny, space, references, results):
    spec = tiny.model_copy(update={"stop": tiny.stop.model_copy(update={"barren_rounds": 2})})
    labels = label(tiny, space, references, results, [])
    near = [x.candidate_id for x in labels if is_found(x)]
    far = [x.candidate_id for x in labels if x.e_above_hull > 0.1]
    selections = [chosen(space, far[:2], 0), chosen(space, near[:1], 1), chosen(space, far[2:4], 2)]

    def verdict():
        some = {p.candidate_id: results[p.candidate_id] for s in selections for p in s.chosen}
        return decide(spec, space, some, selections, label(spec, space, references, some, selections))

    assert verdict() is None
    selections.append(chosen(space, far[4:6], 3))
    assert "2 rounds found nothing" in verdict()


def test_a_choice_does_not_depend_on_the_order_of_arrival(tiny, space, references, results):
    some = {i: results[i] for i in sorted(results)[:12]}
    backwards = dict(reversed(some.items()))
    assert select(tiny, space, references, some, 1) == select(tiny, space, references, backwards, 1)


def test_nothing_is_chosen_twice_and_the_budget_is_kept(tiny, space, references, results):
    some = {i: results[i] for i in sorted(results)[:14]}
    selection = select(tiny, space, references, some, 2)
    assert len(selection.chosen) == 2  # 16 are allowed
    assert not {p.candidate_id for p in selection.chosen} & set(some)


def test_too_few_results_are_not_learned_from(tiny, space, references, results):
    some = {i: results[i] for i in sorted(results)[:9]}
    assert look_ahead(tiny, space, references, some) is None
    assert select(tiny, space, references, some, 1).reason.startswith("diversity")


@pytest.mark.parametrize("target", ["hull-distance", "formation-energy"])
def test_the_outlook_is_in_absolute_energies_whatever_was_learned(tiny, space, references, results, target):
    spec = tiny.model_copy(update={"surrogate": tiny.surrogate.model_copy(update={"target": target})})
    some = {i: results[i] for i in sorted(results)[:20]}
    outlook = look_ahead(spec, space, references, some)
    actual = np.array([results[i].energy_per_atom for i in space.table.ids])
    assert np.abs(outlook.mean - actual).mean() < 0.15
    assert (outlook.std > 0).all()
    assert ((outlook.probability >= 0) & (outlook.probability <= 1)).all()


def test_geometry_keeps_what_it_was_given():
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.hexagonal(3, 5), ["Na", "Cl"], [[0, 0, 0], [1 / 3, 2 / 3, 0.5]])
    assert Geometry.from_structure(structure).to_structure() == structure
