"""Hulls beside pymatgen, linear programs and published energies."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from matscout.workflows.stability import Hull, read_entries, restrict


def _from_benchmarks(name):
    """Import a module that the benchmark takes, too."""
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "_lib" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


critexam = _from_benchmarks("critexam")
hull_systems = _from_benchmarks("hull_systems")

# ---- pymatgen


def csv_entries(path):
    """Entries of a table with amounts of each element and energies of a cell, in eV."""
    with path.open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            amounts = {column: float(row[column]) for column in row if column not in ("Name", "Final energy")}
            yield PDEntry(Composition(amounts), float(row["Final energy"]), name=f"{row['Name']} {number}")


# Entries, and how many of them are stable. The table has Li2O twice, at one energy.
SETS = {
    "Fe_Li_O_P_entries.json.gz": (943, 40),
    "Li-Fe-P-O_entries.json.gz": (859, 43),
    "pd_entries_test.csv": (492, 12),
}


@pytest.fixture(scope="module", params=SETS)
def entry_set(request, data):
    """Name, entries and pymatgen's diagram of one of the sets."""
    path = data / "entries" / request.param
    entries = list(csv_entries(path)) if path.suffix == ".csv" else read_entries(path)
    return request.param, entries, PhaseDiagram(entries)


def hull_of_entries(entries):
    ids = list(range(len(entries)))
    return Hull([entry.composition for entry in entries], [entry.energy_per_atom for entry in entries], ids)


def test_stable_phases_and_distances_are_those_of_pymatgen(entry_set):
    name, entries, reference = entry_set
    hull = hull_of_entries(entries)
    own = hull.e_above_hull([entry.composition for entry in entries], [entry.energy_per_atom for entry in entries])
    expected = np.array([reference.get_e_above_hull(entry) for entry in entries])
    assert own == pytest.approx(expected, abs=1e-8)
    assert (len(hull), len(hull.stable_ids)) == SETS[name]
    assert list(hull.stable_ids) == np.flatnonzero(own == 0).tolist() == np.flatnonzero(expected < 1e-8).tolist()
    assert {entries[i].composition.reduced_formula for i in hull.stable_ids} == {
        entry.composition.reduced_formula for entry in reference.stable_entries
    }


def test_decomposition_energies_are_distances_to_pymatgens_hull_without_the_composition(entry_set):
    _, entries, reference = entry_set
    expected = {}
    for stable in reference.stable_entries:
        formula = stable.composition.reduced_formula
        same = [entry for entry in entries if entry.composition.reduced_formula == formula]
        if stable.is_element:
            expected |= dict.fromkeys(same, 0.0)
            continue
        without = PhaseDiagram([entry for entry in entries if entry.composition.reduced_formula != formula])
        expected |= {e: without.get_decomp_and_e_above_hull(e, allow_negative=True)[1] for e in same}
    # Where nothing at the composition is stable, leaving it out leaves the hull as it is.
    expected |= {entry: reference.get_e_above_hull(entry) for entry in entries if entry not in expected}
    energies = hull_of_entries(entries).decomposition_energy()
    assert energies == pytest.approx([expected[entry] for entry in entries], abs=1e-8)
    assert all(energies[i] <= 0 for i, entry in enumerate(entries) if entry in reference.stable_entries)


def test_decomposition_energies_are_those_of_pymatgens_optimizer(iron_phosphates):
    entries = restrict(iron_phosphates, ["Li", "O", "P"])
    reference = PhaseDiagram(entries)
    energies = hull_of_entries(entries).decomposition_energy()
    sample = [i for i, entry in enumerate(entries) if entry in reference.stable_entries or i % 6 == 0]
    sample = [i for i in sample if not entries[i].is_element]
    assert len(sample) > 20
    for i in sample:
        _, expected = reference.get_decomp_and_phase_separation_energy(entries[i])
        assert energies[i] == pytest.approx(expected, abs=1e-6)  # it stops at 1e-8 of its own


# ---- linear programs


@pytest.mark.parametrize("n_elements", range(2, 8))
def test_fifty_awkward_random_systems_agree_with_a_linear_program(n_elements):
    for number in range(50):
        system = hull_systems.random_system(np.random.default_rng([n_elements, number]), n_elements)
        assert max(hull_systems.differences(system)) < 1e-7, f"random system {number} of {n_elements} elements"


def dense(rng, d, n):
    """Compositions of many entries, nearly all of them on the hull or near it."""
    amounts = rng.integers(0, 7, (n, d)) * (rng.random((n, d)) < 0.6) * 1.0
    amounts = amounts[(amounts > 0).sum(axis=1) > 1]
    fractions = hull_systems.fractions_of(amounts)
    return amounts, (fractions**2).sum(axis=1) - 1 + rng.normal(0, 1e-3, len(amounts))


def lattice(rng, d, n):
    """All compositions of n atoms, all exactly on the hull: facets of many corners."""
    amounts = np.array([row for row in itertools.product(range(n), repeat=d) if sum(row) == n], dtype=float)
    return amounts, ((amounts / n) ** 2).sum(axis=1) - 1


def clusters(rng, d, n):
    """A few compositions, each many times and a little apart, with energies as near."""
    centres = rng.dirichlet(np.ones(d), 4)
    apart = 10.0 ** -rng.integers(4, 7, (n, 1))
    amounts = np.abs(centres[rng.integers(0, 4, n)] + apart * rng.choice([-1, 0, 1], (n, d)))
    return amounts, -1 + (apart * rng.normal(0, 0.1, (n, 1))).sum(axis=1)


@pytest.mark.parametrize(
    ("entries_of", "d", "n", "reference"),
    [
        (dense, 5, 250, 0.0),
        (dense, 9, 60, -10.0),
        (dense, 11, 60, -10.0),
        (dense, 3, 60, -1e4),  # cells with energies of 10,000 eV/atom differ by some 0.1 eV/atom
        (lattice, 3, 6, 0.0),
        (lattice, 5, 4, -10.0),
        (clusters, 3, 30, 0.0),
        (clusters, 6, 30, -10.0),
    ],
)
def test_large_and_degenerate_systems_agree_with_a_linear_program(entries_of, d, n, reference):
    rng = np.random.default_rng([d, n])
    amounts, energies = entries_of(rng, d, n)
    references = np.full(d, reference) - np.arange(d) if reference else None
    amounts, energies = np.vstack([amounts, np.eye(d)]), np.append(energies, np.zeros(d))
    queries = rng.dirichlet(np.ones(d), 5)
    system = hull_systems.RandomSystem(hull_systems.ELEMENTS[:d], amounts, energies, references, queries)
    assert max(hull_systems.differences(system)) < 1e-7


@pytest.fixture(scope="module")
def compounds(data):
    """The 72,261 compounds with published energies, and their decomposition energies found here."""
    table = critexam.read_critexam(data)
    hull = Hull(table.formulas, table.formation_energies, table.formulas, formation_energies=True)
    return table, hull.decomposition_energy()


def test_two_thousand_real_decomposition_energies_agree_with_a_linear_program(compounds):
    table, energies = compounds
    assert len(energies) == 72_261
    sample = np.random.default_rng(4).choice(len(table), 2000, replace=False).tolist()
    expected = [table.formation_energies[row] - hull_systems.lowest_energies(*table.program(row))[0] for row in sample]
    assert energies[sample] == pytest.approx(expected, abs=1e-7)


# ---- published energies

# The hull of 72,261 of the published 85,014 compounds lies on theirs or above it, so no decomposition energy should be
# above the published one. Some are: the published code minimises with SLSQP, stops when the energy of a formula unit
# changes by less than 1e-4 eV, and is then not at the lowest energy. It takes Ag2NaSn apart into Ag, Ag2Na, Ag3Sn and
# NaSn, where Ag and NaSn are lower. That such an energy is too low follows from published formation energies alone: any
# reaction that balances bounds it from below.
LOOSE = 0.003


def shares_of_others(table, row):
    """Decomposition of a compound into others, as exact shares of atoms by formula."""
    rows = [other for other in table.inside(table.amounts[row]) if other != row]
    formulas = [table.formulas[other] for other in rows]
    hull = Hull(formulas, table.formation_energies[rows], formulas, formation_energies=True)
    parts = hull.decompose(table.formulas[row])
    return {name: Fraction(share).limit_denominator(10_000) for name, share in parts.items()}


def exact_fractions(formula):
    amounts = Composition(formula).get_el_amt_dict()
    atoms = int(sum(amounts.values()))
    return {symbol: Fraction(int(amount), atoms) for symbol, amount in amounts.items()}


def test_most_published_decomposition_energies_are_found_again(compounds):
    table, energies = compounds
    above = energies - table.decomposition_energies
    assert (np.abs(above) < 1e-6).sum() > 43_000
    assert above.max() < 0.006
    assert (above > LOOSE).sum() == 17


def test_published_energies_that_are_lower_are_refuted_by_what_is_published(compounds):
    table, energies = compounds
    known = dict(zip(table.formulas, table.formation_energies.tolist(), strict=True))
    lower = np.flatnonzero(energies - table.decomposition_energies > 0.001).tolist()
    assert len(lower) > 300
    for row in lower:
        made, energy = {}, 0.0
        for name, share in shares_of_others(table, row).items():
            energy += float(share) * known.get(name, 0.0)
            for symbol, fraction in exact_fractions(name).items():
                made[symbol] = made.get(symbol, 0) + share * fraction
        assert made == exact_fractions(table.formulas[row])
        assert table.formation_energies[row] - energy == pytest.approx(energies[row], abs=1e-8)


@pytest.mark.parametrize(
    ("formula", "parts"),
    [
        ("Co2Np1", {}),  # into the elements
        ("Ag2Na1Sn1", {"Na1Sn1": (1, 2)}),  # of the atoms; the rest are elements
        ("Fe1Te1Zr1", {"Te1Zr1": (2, 3)}),
        ("Fe10Sc1Si2", {"Fe2Sc1Si2": (5, 13)}),
        ("Ni5Yb1", {"Ni3Yb1": (2, 3)}),
        ("C1Dy1P1Ru2", {"Dy1P1": (2, 5)}),
        ("N1V8", {"N1V2": (1, 3)}),
    ],
)
def test_a_reaction_by_hand_lies_below_the_published_one(compounds, formula, parts):
    table, energies = compounds
    row = table.formulas.index(formula)
    shares = {name: Fraction(*share) for name, share in parts.items()}
    left = exact_fractions(formula)
    for name, share in shares.items():
        left |= {symbol: left[symbol] - share * fraction for symbol, fraction in exact_fractions(name).items()}
    assert min(left.values()) >= 0
    energy = sum(float(share) * table.formation_energies[table.formulas.index(name)] for name, share in shares.items())
    by_hand = table.formation_energies[row] - energy
    assert by_hand > table.decomposition_energies[row] + LOOSE
    assert energies[row] == pytest.approx(by_hand, abs=1e-9)


# ---- what holds for every hull

random_systems = st.integers(0, 2**32 - 1).map(lambda seed: hull_systems.random_system(np.random.default_rng(seed)))


def labels(hull, system):
    """Of all entries of a system, those that the hull does not have among them."""
    return hull.e_above_hull((system.amounts, system.symbols), system.energies)


def part(system, rows):
    """Hull of some entries of a system, the elements first where it needs them."""
    if system.references is not None:
        elements = np.flatnonzero((system.fractions.max(axis=1) == 1) & (system.formation_energies == 0))
        rows = [*elements, *(row for row in rows if row not in elements)]
    by_formation = system.references is None
    energies = system.energies[rows]
    return Hull((system.amounts[rows], system.symbols), energies, list(map(int, rows)), formation_energies=by_formation)


@given(random_systems, st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_size_of_cells_matters(system, random):
    whole = system.hull()
    order = list(range(len(whole)))
    random.shuffle(order)
    sizes = np.array([[random.randint(1, 9)] for _ in order])
    other = Hull(
        ((system.amounts * sizes)[order], system.symbols),
        system.energies[order],
        order,
        formation_energies=system.references is None,
    )
    assert other.version == whole.version
    assert set(other.stable_ids) == set(whole.stable_ids)
    assert labels(other, system) == pytest.approx(labels(whole, system), abs=1e-9)
    assert other.decomposition_energy() == pytest.approx(whole.decomposition_energy()[order], abs=1e-9)


@given(random_systems, st.data())
def test_additions_make_no_label_smaller_say_what_changed_and_end_at_the_whole_hull(system, draw):
    n = len(system.amounts)
    rows = draw.draw(st.permutations(range(n)))
    cuts = sorted(draw.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=3)))
    grown = part(system, rows[: cuts[0]])
    for start, end in zip(cuts, [*cuts[1:], n], strict=True):
        ids, before = grown.ids, grown.own_e_above_hull()
        new = list(rows[start:end])
        changes = grown.add((system.amounts[new], system.symbols), system.energies[new], new)
        after = grown.own_e_above_hull()[: len(ids)]
        assert (after >= before - 1e-10).all()  # to which labels are proved
        changed = np.abs(after - before) > 1e-9
        assert set(np.array(ids)[changed].tolist()) <= set(changes.ids)
        places = [ids.index(name) for name in changes.ids]
        assert changes.before.tolist() == before[places].tolist()
        assert changes.after.tolist() == after[places].tolist()
        assert (changes.after != changes.before).all()
    whole = system.hull()
    assert grown.version == whole.version
    assert labels(grown, system) == pytest.approx(labels(whole, system), abs=1e-9)


@given(random_systems)
def test_what_is_not_stable_can_go(system):
    whole = system.hull()
    kept = list(whole.stable_ids)
    if kept:
        assert labels(part(system, kept), system) == pytest.approx(labels(whole, system), abs=1e-8)


@given(random_systems)
def test_a_decomposition_energy_is_the_distance_unless_the_composition_is_stable(system):
    hull = system.hull()
    above, without = hull.own_e_above_hull(), hull.decomposition_energy()
    assert (without <= above + 1e-9).all()
    same = np.abs(system.fractions[:, None] - system.fractions).max(axis=2) < hull_systems.SAME_COMPOSITION
    unstable = (np.where(same, above, np.inf).min(axis=1) > 1e-8) & (system.fractions.max(axis=1) < 1)
    assert without[unstable] == pytest.approx(above[unstable], abs=1e-9)


@given(random_systems, st.floats(0.1, 0.9))
def test_the_hull_is_convex(system, weight):
    hull = system.hull()
    ends = np.vstack([system.fractions, hull_systems.fractions_of(system.queries)])
    first, second = ends, np.roll(ends, 1, axis=0)
    between = weight * first + (1 - weight) * second
    heights = [hull.hull_energy((x, system.symbols)) for x in (first, between, second)]
    assert (heights[1] <= weight * heights[0] + (1 - weight) * heights[2] + 1e-8).all()


@given(random_systems)
def test_entries_with_other_elements_are_nothing_to_a_chemical_system(system):
    inside = system.amounts[:, -1] == 0
    kept = part(system, np.flatnonzero(inside).tolist()) if inside.any() else None
    if kept is not None:
        asked = (system.amounts[inside], system.symbols)
        energies = system.energies[inside]
        assert system.hull().e_above_hull(asked, energies) == pytest.approx(
            kept.e_above_hull(asked, energies), abs=1e-9
        )


@pytest.mark.parametrize("seed", range(20))
def test_own_distances_are_those_of_the_same_question_for_tiny_fractions_too(seed):
    """Two entries may count as one composition while their fractions differ: each has the distance of its own."""
    rng = np.random.default_rng(seed)
    amounts = rng.integers(1, 4, (12, 3)) * np.array([1.0, 1.0, 10.0 ** -rng.integers(5, 7)])
    amounts = np.vstack([amounts, amounts * (1 + 1e-9 * rng.standard_normal(amounts.shape))])
    energies = rng.normal(-0.5, 0.2, len(amounts))
    hull = Hull((amounts, ("Li", "Na", "K")), energies, list(range(24)), formation_energies=True)
    asked = hull.e_above_hull((amounts, ("Li", "Na", "K")), energies)
    assert hull.own_e_above_hull() == pytest.approx(asked, abs=1e-9)
