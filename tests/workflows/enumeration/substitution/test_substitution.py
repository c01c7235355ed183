from __future__ import annotations

import gzip
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor, SubstitutionProbability
from pymatgen.core.structure_prediction.substitutor import Substitutor

from matscout.errors import UserError
from matscout.workflows.enumeration import get_prototype
from matscout.workflows.enumeration.substitution.ion_substitution import (
    ion_table,
    ions_of,
    probable_replacements,
    replacement_probabilities,
)
from matscout.workflows.enumeration.substitution.parents import known_crystals, structures_in
from matscout.workflows.enumeration.substitution.predicted import substitute


def crystal(name, *elements):
    return get_prototype(name).structure(list(elements))


def rock_salt(cation, anion, a):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


NACL, MGO = rock_salt("Na", "Cl", 5.64), rock_salt("Mg", "O", 4.21)


def sets(replacements):
    names = ion_table().names
    rows = zip(replacements.ions.tolist(), replacements.probability.tolist(), strict=True)
    return {tuple(names[ion] for ion in ions): probability for ions, probability in rows}


def of_pymatgen(predictions):
    found = {tuple(map(str, one["substitutions"].values())): one["probability"] for one in predictions}
    return {ions: probability for ions, probability in found.items() if len(set(ions)) == len(ions)}


@pytest.mark.parametrize("ions", [["Na+", "Cl-"], ["Sr2+", "Ti4+", "O2-"]])
def test_given_the_known_crystal_the_sets_are_those_of_pymatgens_substitutor(ions):
    known = [ion_table().places[ion] for ion in ions]
    ours = sets(probable_replacements(known, np.arange(230), 5e-3))
    theirs = of_pymatgen(Substitutor(threshold=5e-3).pred_from_list(ions))
    assert len(theirs) > 5
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("ions", [["Na+", "Cl-"], ["K+", "Mg2+", "F-"]])
def test_given_the_candidate_the_sets_are_those_of_pymatgens_predictor(ions):
    known = [ion_table().places[ion] for ion in ions]
    ours = sets(probable_replacements(known, np.arange(230), 5e-3, "candidate"))
    predicted = SubstitutionPredictor(threshold=5e-3).list_prediction(ions, to_this_composition=False)
    assert len(predicted) > 5
    assert ours == pytest.approx(of_pymatgen(predicted))


def test_probabilities_are_those_of_pymatgen_and_add_up_to_one():
    model, names = SubstitutionProbability(), ion_table().names
    rng = np.random.default_rng(0)
    for i, j in rng.integers(0, 230, (20, 2)).tolist():
        assert replacement_probabilities()[i, j] == pytest.approx(model.cond_prob(names[j], names[i]))
        assert replacement_probabilities("candidate")[i, j] == pytest.approx(model.cond_prob(names[i], names[j]))
    assert replacement_probabilities().sum(axis=1) == pytest.approx(np.ones(230))
    assert replacement_probabilities("candidate").sum(axis=0) == pytest.approx(np.ones(230))


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 229), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 229), min_size=3, max_size=9, unique=True),
    st.floats(1e-7, 0.1),
    st.sampled_from(["known", "candidate"]),
)
def test_branch_and_bound_finds_what_a_look_at_everything_finds(known, allowed, threshold, given):
    grid = np.array(np.meshgrid(*[allowed] * len(known), indexing="ij")).reshape(len(known), -1).T
    grid = grid[[len(set(row)) == len(row) for row in grid.tolist()]]
    probability = replacement_probabilities(given)[known, grid].prod(axis=1)
    found = probable_replacements(known, np.array(allowed), threshold, given)
    wanted = {tuple(row) for row in grid[probability > threshold * (1 + 1e-9)].tolist()}
    assert wanted == {tuple(row) for row in found.ions[found.probability > threshold * (1 + 1e-9)].tolist()}


def test_candidates_are_those_of_pymatgens_substitutor():
    species = ["K+", "Zn2+", "Cl-"]
    parents = [crystal("cubic-perovskite", "Na", "Mg", "F"), crystal("cubic-perovskite", "Cs", "Ca", "Cl")]
    decorated = [parent.copy() for parent in parents]
    decorated[0].add_oxidation_state_by_element({"Na": 1, "Mg": 2, "F": -1})
    decorated[1].add_oxidation_state_by_element({"Cs": 1, "Ca": 2, "Cl": -1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Substitutor(threshold=1e-5).pred_from_structures(
            species, [{"structure": one, "id": place} for place, one in enumerate(decorated)], remove_duplicates=False
        )
    best = max(one.other_parameters["proba"] for one in theirs)
    table, refused = substitute(parents, species, threshold=1e-5)
    assert refused == []
    assert table.formulas[0] == "KZnCl3"
    assert table.columns["probability"][0] == pytest.approx(best)
    matcher = StructureMatcher()
    found = [one.final_structure.remove_oxidation_states() or one.final_structure for one in theirs]
    assert any(matcher.fit(table.structure(0), one) for one in found)


def test_the_same_crystal_from_two_parents_is_there_once_by_the_more_probable_way():
    apart = {name: substitute(one, threshold=1e-3)[0] for name, one in (("NaCl", NACL), ("MgO", MGO))}
    both, _ = substitute([NACL, MGO], threshold=1e-3)
    of_parent = {
        name: dict(zip(table.formulas, table.columns["probability"], strict=True)) for name, table in apart.items()
    }
    assert len(both.prototypes) == 1
    assert set(both.formulas) == {*of_parent["NaCl"], *of_parent["MgO"]} - {"NaCl", "MgO"}
    assert len(set(both.formulas)) == len(both)
    probabilities = both.columns["probability"]
    assert (np.diff(probabilities) <= 0).all()
    for formula, probability, parent in zip(both.formulas, probabilities, both.columns["parent"], strict=True):
        assert probability == max(found.get(formula, 0) for found in of_parent.values())
        assert probability == of_parent[parent][formula]
    counts = {count.name: count for count in both.filter_counts}
    assert list(counts) == ["charge-balance", "same-crystal", "known"]
    assert counts["known"].removed == 2  # NaCl and MgO themselves
    assert counts["known"].before - counts["known"].removed == len(both)


def test_every_candidate_is_neutral_and_above_the_threshold():
    table, _ = substitute(crystal("cubic-perovskite", "Sr", "Ti", "O"), threshold=1e-3)
    assert (table.columns["probability"] > 1e-3).all()
    changed = dict(zip(table.formulas, table.columns["substitution"].tolist(), strict=True))
    assert changed["BaTiO3"] == "Sr2+ -> Ba2+"
    charge = {name: int(c) for name, c in zip(ion_table().names, ion_table().charges, strict=True)}
    for substitution in changed.values():
        pairs = [pair.split(" -> ") for pair in substitution.split(", ")]
        amounts = {"Sr2+": 1, "Ti4+": 1, "O2-": 3}
        assert sum(amounts[old] * (charge[new] - charge[old]) for old, new in pairs) == 0
    assert (table.columns["parent_formula"] == "SrTiO3").all()


def test_ions_of_one_element_are_replaced_apart():
    prototype = get_prototype("elpasolite")
    states = {"A": "Cs+", "B": "Au+", "B'": "Au3+", "X": "Cl-"}
    given = prototype.structure([states[role] for role in prototype.roles])
    crystals, refused = known_crystals(given)
    assert refused == []
    assert crystals[0].prototype.roles == ("Cs+", "Au+", "Au3+", "Cl-")
    table, _ = substitute(given, ["Rb+", "Ag+", "Au3+", "Cl-"], threshold=1e-4)
    assert table.formulas[0] == "Rb2AgAuCl6"


def test_elements_stand_for_their_common_ions():
    names = np.array(ion_table().names)
    assert names[ions_of(["Na", "Sn", "O2-"])].tolist() == ["Na+", "O2-", "Sn2+", "Sn4+"]
    assert len(ions_of(None)) == 230


def test_oxidation_states_of_real_entries_are_found(data):
    with gzip.open(data / "entries" / "Fe_Li_O_P_entries.json.gz") as file:
        oxides = [one for one in json.load(file) if "O" in one["composition"]]
    documents = [one for one in oxides if len(one["structure"]["sites"]) <= 16][::6]
    pairs = [(one["entry_id"], Structure.from_dict(one["structure"])) for one in documents]
    crystals, refused = known_crystals(pairs)
    assert len(crystals) == len(pairs)  # what cannot be a parent is still known
    for one in crystals:
        charges = ion_table().charges[list(one.ions)]
        assert not one.ions or charges @ one.prototype.multiplicity == 0
        assert StructureMatcher().fit(one.prototype.structure([str(e) for e in symbols_of(one)]), one.structure)
    assert {one.name for one in refused} == {one.name for one in crystals if not one.ions}
    assert all("oxidation state" in one.reason or "not in the table" in one.reason for one in refused)
    assert sum(bool(one.ions) for one in crystals) > len(crystals) / 2
    again, _ = substitute(crystals, ["Na", "Mn", "V", "O"], threshold=1e-2)
    assert not {Composition(f).reduced_formula for f in again.formulas} & {one.formula for one in crystals}


def symbols_of(one):
    from pymatgen.core import Element

    return [Element.from_Z(number).symbol for number in one.decoration]


def test_a_file_is_read_and_its_bad_crystals_are_listed(tmp_path):
    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    documents = [
        {"entry_id": "mp-1", "structure": NACL.as_dict()},
        {"entry_id": "mp-2", "structure": iron.as_dict()},
        {"entry_id": "mp-3"},
        {"entry_id": "mp-4", "structure": rock_salt({"Na": 0.5, "K": 0.5}, "Cl", 6.0).as_dict()},
    ]
    (tmp_path / "known.json").write_text(json.dumps(documents))
    table, refused = substitute(tmp_path / "known.json", ["K+", "Cl-"])
    assert table.formulas == ["KCl"]
    assert table.columns["parent"].tolist() == ["mp-1"]
    assert sorted(one.name for one in refused) == ["mp-2", "mp-3", "mp-4"]

    def find(self, query, projection):
        return [one for one in self.documents if one["state"] == query["state"]]


def test_a_store_gives_the_crystals_of_its_finished_calculations(tmp_path):
    from matscout.db import connect
    from matscout.db.documents import Geometry

    geometry = Geometry.from_structure(NACL).model_dump(mode="json")
    with connect(tmp_path) as store:
        request = {"protocol": "chgnet-relax"}
        for key, state in (("b", "completed"), ("a", "completed"), ("c", "failed")):
            result = {"geometry": geometry if key != "a" else None}
            store.collection("calculations").insert_one(
                {"_id": key, "state": state, "request": request, "result": result}
            )
        found = structures_in(store)
        assert [name for name, _ in found] == ["NaCl-b"]
        assert structures_in(store, "another") == []
        assert substitute(found, ["K+", "Cl-"])[0].columns["parent"].tolist() == ["NaCl-b"]


def test_order_of_the_known_crystals_leaves_no_trace():
    forward, backward = (substitute(known, threshold=1e-2)[0] for known in ([NACL, MGO], [MGO, NACL]))
    assert forward.ids == backward.ids
    assert forward.columns["probability"].tolist() == backward.columns["probability"].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold: a probability above 0 and at most 1 is expected, got 0"),
        ({"threshold": 1.5}, r"got 1\.5"),
        ({"given": "knwon"}, 'given: known or candidate, got "knwon". Nearest: known'),
        ({"species": ["Na+", "Xx"]}, 'unknown element "Xx". Nearest: Xe'),
        ({"species": ["Na9+"]}, r"Na9\+ is not an ion of Na"),
        ({"species": ["H-"]}, r"H- is not in the table of substitution probabilities, which has H\+"),
        ({"species": ["He"]}, "no common ion of He is in the table"),
        ({"species": ["Na", "Na+"]}, r"Na\+ is listed twice, as Na and as Na\+"),
        ({"species": []}, "name at least one ion"),
        ({"species": ["Cs+", "I-"], "threshold": 0.5}, r"above 0\.5: the largest of a neutral one is 0\.00\d+$"),
        ({"species": ["Cs+"]}, "no neutral one above 1e-06: the known crystals have 2 different ions each"),
        ({"species": ["Na+", "Cl-"]}, "nothing new: all 1 substitutions"),
    ],
)
def test_a_search_that_finds_nothing_says_why(options, message):
    with pytest.raises(UserError, match=message):
        substitute(NACL, **options)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([], "no known crystals"),
        (7, "structures, entries or a file of them are expected, got 7"),
        (["POSCAR"], "'POSCAR' is no structure, no entry .* read files by read_structures first"),
        (Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]]), "none .* can be a parent of others; the first, Fe: "),
    ],
)
def test_known_crystals_that_are_none_are_refused(known, message):
    with pytest.raises(UserError, match=message):
        substitute(known)


@pytest.mark.parametrize(
    ("states", "message"),
    [({"Na": 1, "Cl": -2}, r"its oxidation states add up to -4"), ({"Na": 0.5, "Cl": -0.5}, "is no integer")],
)
def test_impossible_oxidation_states_are_refused(states, message):
    structure = NACL.copy()
    structure.add_oxidation_state_by_element(states)
    _, refused = known_crystals([structure, MGO])
    assert len(refused) == 1
    assert message.replace(r"\-", "-") in refused[0].reason
