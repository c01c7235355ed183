from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from matminer.featurizers import composition as of_compositions
from matminer.featurizers import site as of_sites
from matminer.featurizers import structure as of_structures
from pymatgen.analysis.local_env import VoronoiNN
from pymatgen.core.composition import Composition
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Species
from pymatgen.core.structure import Structure

from matscout.crystals.crystal import Crystal
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import CompositionFeaturizer
from matscout.featurizers._bibtex import readable
from matscout.featurizers._matminer_classes import known_names
from matscout.featurizers._oxidation import charge, charged_composition
from matscout.featurizers.matminer import Matminer, parse_matminer
from matscout.featurizers.row_process import RowProcess

pytestmark = pytest.mark.filterwarnings("ignore")  # matminer and what it calls warn of much

OXIDES = ("SrTiO3", "Fe3O4", "LiCoO2", "NaCl")


def charged(crystal):
    copy = crystal.copy()
    copy.add_oxidation_state_by_guess()
    return copy


def same(ours, theirs):
    np.testing.assert_array_equal(ours, np.asarray(theirs, dtype=float))


# equal to matminer


SAME_OF_CRYSTALS = {
    "DensityFeatures": ({}, of_structures.DensityFeatures),
    "RadialDistributionFunction": ({"cutoff": 6}, lambda: of_structures.RadialDistributionFunction(cutoff=6)),
    "SiteStatsFingerprint": (
        {"preset": "CrystalNNFingerprint_ops", "stats": ["mean", "maximum"]},
        lambda: of_structures.SiteStatsFingerprint.from_preset("CrystalNNFingerprint_ops", stats=["mean", "maximum"]),
    ),
    "CoordinationNumber": (
        {"preset": "VoronoiNN"},
        lambda: of_structures.SiteStatsFingerprint(of_sites.CoordinationNumber.from_preset("VoronoiNN")),
    ),
    "AverageBondLength": (
        {"method": {"VoronoiNN": {"tol": 0.2}}, "stats": ["minimum"], "covariance": False},
        lambda: of_structures.SiteStatsFingerprint(of_sites.AverageBondLength(VoronoiNN(tol=0.2)), stats=["minimum"]),
    ),
    "StructureComposition": (
        {"featurizer": "ElementProperty:magpie"},
        lambda: of_structures.StructureComposition(of_compositions.ElementProperty.from_preset("magpie")),
    ),
    "BondFractions": (
        {"allowed_bonds": ["O - Ti", "O - Sr"]},
        lambda: of_structures.BondFractions(allowed_bonds=["O - Ti", "O - Sr"]),
    ),
    "PartialRadialDistributionFunction": (
        {"include_elems": ["O", "Ti"], "cutoff": 5},
        lambda: of_structures.PartialRadialDistributionFunction(include_elems=["O", "Ti"], cutoff=5).fit([]),
    ),
}


@pytest.mark.parametrize("name", SAME_OF_CRYSTALS)
def test_crystals_have_the_numbers_and_names_of_matminer(crystals, name):
    options, make = SAME_OF_CRYSTALS[name]
    ours, theirs = Matminer(name, **options), make()
    assert ours.takes == "crystals"
    assert ours.feature_names == tuple(theirs.feature_labels())
    for crystal in map(crystals.symmetric, ("perovskite", "rutile")):
        same(ours.featurize(Crystal.from_structure(crystal)), theirs.featurize(crystal.copy()))


@pytest.mark.parametrize("name", ["EwaldEnergy", "GlobalInstabilityIndex"])
def test_guessed_oxidation_states_are_those_of_pymatgen(crystals, name):
    ours, theirs = Matminer(name, oxidation_states="guess"), getattr(of_structures, name)()
    for crystal in map(crystals.symmetric, ("perovskite", "rock salt", "rutile")):
        same(ours.featurize(Crystal.from_structure(crystal)), theirs.featurize(charged(crystal)))


def test_text_is_left_out_and_truth_is_a_number(crystals):
    featurizer = Matminer("GlobalSymmetryFeatures")
    values = featurizer.featurize(Crystal.from_structure(crystals.symmetric("perovskite")))
    names = ("spacegroup_num", "crystal_system_int", "is_centrosymmetric", "n_symmetry_ops")
    assert dict(zip(featurizer.feature_names, values, strict=True)) == dict(zip(names, (221, 1, 1, 48), strict=True))


def test_magpie_is_that_of_matminer_and_ours():
    featurizer = Matminer("ElementProperty", preset="magpie")
    direct = of_compositions.ElementProperty.from_preset("magpie")
    ours = CompositionFeaturizer("magpie")
    assert featurizer.takes == "compositions"
    assert featurizer.feature_names == tuple(direct.feature_labels()) == ours.feature_names
    for formula in OXIDES:
        values = featurizer.featurize(Composition(formula))
        same(values, direct.featurize(Composition(formula)))
        np.testing.assert_allclose(values, ours.transform([formula])[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["OxidationStates", "IonProperty", "ElectronegativityDiff"])
def test_compositions_get_guessed_oxidation_states(name):
    ours, theirs = Matminer(name, oxidation_states="guess"), getattr(of_compositions, name)()
    for formula in OXIDES:
        same(
            ours.featurize(Composition(formula)),
            theirs.featurize(Composition(formula).add_charges_from_oxi_state_guesses()),
        )


def test_oxidation_states_do_not_depend_on_the_cell(crystals):
    featurizer = Matminer("EwaldEnergy", oxidation_states="guess", accuracy=8)
    crystal = crystals.symmetric("rutile")
    once, twice = (featurizer.featurize(Crystal.from_structure(one)) for one in (crystal, crystal * (2, 1, 1)))
    np.testing.assert_allclose(once, twice, rtol=1e-7)
    dioxide = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.6, 3), ["Sb", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
    assert charged_composition(Composition("SbO2")) == Composition({"Sb3+": 1, "Sb5+": 1, "O2-": 4})
    charge(dioxide)
    assert [site.specie.oxi_state for site in dioxide] == [4, 4, -2, -2, -2, -2]


def test_oxidation_states_that_there_are_stay():
    given = Composition({"Fe2+": 1, "O2-": 1})
    assert charged_composition(given) is given
    assert charged_composition(Composition("Fe2")) == Composition({"Fe0+": 2})


def test_states_that_were_fractions_elsewhere_do_not_come_back():
    charged_composition(Composition({Species("Na", 1.0): 1, Species("Cl", -1.0): 1}))
    assert [type(kind.oxi_state) for kind in charged_composition(Composition("NaCl"))] == [int, int]


@pytest.mark.parametrize(
    ("formula", "error"),
    [
        ("FeNi", "FeNi: no oxidation states of its elements add up to no charge"),
        ("Fe51O67", "at most 50"),
        ("Fe0.97O", "Fe97O100 has 197 atoms in its formula: .* at most 50"),
    ],
)
def test_where_no_oxidation_states_are_found_the_row_says_so(formula, error):
    with pytest.raises(UserError, match=error):
        Matminer("OxidationStates", oxidation_states="guess").featurize(Composition(formula))


def test_a_featurizer_that_needs_oxidation_states_says_how_to_get_them(crystals):
    with pytest.raises(UserError, match='make them with oxidation_states="guess"'):
        Matminer("EwaldEnergy").featurize(Crystal.from_structure(crystals.symmetric("rutile")))


# all of matminer

OPTIONS = {
    "AngularFourierSeries": {"preset": "gaussian", "cutoff": 3, "width": 1, "spacing": 1},
    "AverageBondAngle": {"method": "VoronoiNN"},
    "AverageBondLength": {"method": "VoronoiNN"},
    "BondFractions": {"allowed_bonds": ["Cl- - Na+"]},
    "CationProperty": {"preset": "deml"},
    "ChemEnvSiteFingerprint": {"preset": "simple"},
    "CrystalNNFingerprint": {"preset": "ops"},
    "ElementProperty": {"preset": "magpie"},
    "EwaldSiteEnergy": {"accuracy": 4},
    "GeneralizedRadialDistributionFunction": {"preset": "gaussian"},
    "PartialRadialDistributionFunction": {"include_elems": ["Cl", "Na"]},
    "SiteStatsFingerprint": {"preset": "OPSiteFingerprint"},
    "StructureComposition": {"featurizer": "Stoichiometry"},
}
REFUSED = {
    "BagofBonds": "fitted",
    "ChemicalSRO": "fitted",
    "CohesiveEnergy": "asks the Materials Project",
    "CohesiveEnergyMP": "asks the Materials Project",
    "CoulombMatrix": "fitted",
    "MinimumRelativeDistances": "fitted",
    "SOAP": "fitted",
    "SineCoulombMatrix": "fitted",
}
PRESETS_OF_REFUSED = {"ChemicalSRO": "VoronoiNN", "SOAP": "formation_energy"}


def test_every_class_of_matminer_works_in_a_process_of_its_own_or_says_why_not():
    rock_salt = Crystal(2.82 * (np.ones((3, 3)) - np.eye(3)), np.array([[0, 0, 0], [0.5] * 3]), np.array([11, 17]))
    given = {"crystals": rock_salt, "compositions": Composition("NaCl")}
    known = known_names()
    assert len(known) > 55
    with RowProcess() as process:
        for name in known:
            if name in REFUSED:
                with pytest.raises(UserError, match=REFUSED[name]):
                    Matminer(name, preset=PRESETS_OF_REFUSED.get(name))
                continue
            featurizer = Matminer(name, oxidation_states="guess", **OPTIONS.get(name, {}))
            row = process.run(featurizer, given[featurizer.takes])
            assert row.error is None, f"{name}: {row.error}"
            assert np.isfinite(row.values).any(), name
            assert len(row.values) == len(featurizer.feature_names) == len(featurizer.units)
            assert all("{" not in citation and "  " not in citation for citation in featurizer.citations)


# a user's own

OWN = """
from matminer.featurizers.base import BaseFeaturizer

class _Base(BaseFeaturizer):
    def citations(self): return []
    def implementors(self): return []
    def feature_labels(self): return ["first", "second"]

class Halves(_Base):
    def __init__(self, by=2.0): self.by = by
    def featurize(self, comp): return [comp.num_atoms / self.by, None]

class Text(_Base):
    def featurize(self, structure): return [1, "cubic"]

class Short(_Base):
    def featurize(self, structure): return [1]

class Nested(_Base):
    def featurize(self, structure): return [1, [1, 2]]

class Hangs(_Base):
    def featurize(self, comp):
        while comp.num_atoms > 3: pass
        return [1, 2]

class Twins(_Base):
    def feature_labels(self): return ["first", "first"]
    def featurize(self, comp): return [1, 2]

class OfBands(_Base):
    def featurize(self, bands): return [1, 2]
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A module with somebody's featurizers."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_of_matminer.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder / "own_of_matminer.py"


def test_a_class_is_found_by_its_path(own):
    featurizer = Matminer("own_of_matminer.Halves", by=4)
    values = featurizer.featurize(Composition("Fe2O3"))
    assert values[0] == 1.25
    assert np.isnan(values[1])
    path = "matminer.featurizers.structure.order.DensityFeatures"
    assert Matminer(path).feature_names == Matminer("DensityFeatures").feature_names


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("Text", "\"second\" is no number but 'cubic'"),
        ("Nested", r'"second" is no number but \[1, 2\]'),
        ("Short", "1 values for 2 columns"),
    ],
)
def test_what_is_no_row_of_numbers_is_refused(own, crystals, name, error):
    crystal = Crystal.from_structure(crystals.symmetric("copper"))
    with pytest.raises(UserError, match=error):
        Matminer(f"own_of_matminer.{name}").featurize(crystal)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("own_of_matminer.Twins", "two columns of the same name"),
        ("own_of_matminer.OfBands", "argument of its featurize is bands"),
        ("own_of_matminer.Nobody", "cannot be imported"),
        ("no_such_module.Nobody", "cannot be imported"),
        ("os.system", "is no featurizer"),
    ],
)
def test_a_path_to_something_else_is_refused(own, name, error):
    with pytest.raises(UserError, match=error):
        Matminer(name)


# what identifies one


def test_the_key_says_what_the_numbers_depend_on():
    keys = {
        Matminer("ElementProperty", preset=preset, oxidation_states=guess).key
        for preset in ("magpie", "deml")
        for guess in (None, "guess")
    }
    assert len(keys) == 4
    assert Matminer("DensityFeatures", time_limit=1).key == Matminer("DensityFeatures", time_limit=None).key
    assert Matminer("DensityFeatures").identity()["software"].keys() == {"matminer", "pymatgen", "pymatgen-core"}


def test_the_key_of_a_class_of_ones_own_changes_with_its_source(own):
    before = Matminer("own_of_matminer.Halves").identity()
    own.write_text(OWN.replace("num_atoms / self.by", "num_atoms * self.by"))
    try:
        assert Matminer("own_of_matminer.Halves").identity()["source"] != before["source"]
    finally:
        own.write_text(OWN)


def test_it_travels_as_what_it_was_made_of():
    featurizer = Matminer("CoordinationNumber", preset="VoronoiNN", stats=("mean",), time_limit=5)
    again = pickle.loads(pickle.dumps(featurizer))
    assert (again.key, again.time_limit, again.feature_names) == (featurizer.key, 5, featurizer.feature_names)
    assert json.loads(json.dumps(featurizer.recipe())) == featurizer.recipe()


# rows


def test_rows_that_fail_or_hang_are_named_and_the_others_have_their_numbers(own):
    featurizer = Matminer("own_of_matminer.Hangs", time_limit=0.5)
    with pytest.warns(MatscoutWarning, match=r"2 of 4 rows(?s:.*)row 1: longer than 0.5 s(?s:.*)row 2: "):
        values = featurizer.transform(["NaCl", "SrTiO3", "Nonsense", Composition("KCl")])
    assert np.isnan(values).all(axis=1).tolist() == [False, True, True, False]
    with pytest.raises(UserError, match=r"longer than 0\.5 s"):
        featurizer.transform(["SrTiO3"], strict=True)
    assert featurizer.transform([]).shape == (0, 2)


def test_structures_are_transformed(crystals):
    given = [crystals.symmetric(name) for name in crystals.names]
    values = Matminer("DensityFeatures").transform(given)
    same(values, [of_structures.DensityFeatures().featurize(crystal) for crystal in given])


# the command line's form


def test_a_name_may_say_preset_and_options():
    featurizer = parse_matminer('matminer:CoordinationNumber:VoronoiNN:stats=["mean"]', time_limit=3)
    assert featurizer.feature_names == ("mean CN_VoronoiNN",)
    assert featurizer.time_limit == 3
    guessed = parse_matminer("matminer:EwaldEnergy:oxidation_states=guess:accuracy=6")
    assert guessed.options == {"oxidation_states": "guess", "accuracy": 6}
    assert guessed.key == Matminer("EwaldEnergy", oxidation_states="guess", accuracy=6).key
    assert Matminer(guessed.name, **guessed.options).key == guessed.key


@pytest.mark.parametrize("text", ["DensityFeatures", "matminer:", "matminer:ElementProperty:", "matminer::magpie"])
def test_a_name_that_is_not_written_so_is_refused(text):
    with pytest.raises(UserError, match="is not written as matminer:CLASS"):
        parse_matminer(text)


@pytest.mark.parametrize("text", ["a:b", "accuracy=1:accuracy=2"])
def test_nothing_is_given_twice(text):
    with pytest.raises(UserError, match="twice"):
        parse_matminer(f"matminer:EwaldEnergy:{text}")


# mistakes


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("DensityFeature", {}, "Did you mean DensityFeatures?"),
        ("xyzzy", {}, "Known: AGNIFingerprints, "),
        ("DensityFeatures", {"wanted": ["vpa"]}, 'DensityFeatures has no option "wanted".* It has: desired_features'),
        ("MaximumPackingEfficiency", {"a": 1}, 'has no option "a". It has: none'),
        ("ElementProperty", {}, "ElementProperty needs data_source, features, stats; or name a preset"),
        ("ElementProperty", {"preset": "magpi"}, 'matminer cannot make ElementProperty with the preset "magpi"'),
        ("DensityFeatures", {"preset": "magpie"}, 'DensityFeatures has no presets, so no "magpie"'),
        ("AverageBondLength", {"method": "VoronoiN"}, "'VoronoiN' is no way of pymatgen's to find neighbours"),
        ("AverageBondLength", {"method": {"VoronoiNN": {"a": 1}}}, "pymatgen cannot make VoronoiNN"),
        ("AverageBondLength", {"method": VoronoiNN()}, "method of AverageBondLength cannot be written as JSON"),
        ("IonProperty", {"data_source": "OurData"}, 'matminer has no data "OurData". Known: .*PymatgenData'),
        ("SineCoulombMatrix", {"flatten": False}, "tables of the size of the crystal"),
        ("CoordinationNumber", {"preset": "VoronoiNN", "stats": None}, "as many numbers as the crystal has sites"),
        (
            "SiteStatsFingerprint",
            {"preset": "CoordinationNumber_ward-prb-2017", "stats": ["mean"]},
            'the preset "CoordinationNumber_ward-prb-2017" of SiteStatsFingerprint has stats=',
        ),
        ("StructureComposition", {}, 'featurizer="ElementProperty:magpie"'),
        ("DensityFeatures", {"time_limit": 0}, "time_limit must be positive"),
        ("DensityFeatures", {"oxidation_states": "bvs"}, 'oxidation_states is "guess" or nothing'),
    ],
)
def test_a_mistake_is_answered_by_what_to_do(name, options, error):
    with pytest.raises(UserError, match=error):
        Matminer(name, **options)


def test_data_are_named_by_their_class():
    ours = Matminer("LocalPropertyDifference", data_source="DemlData", properties=["col_num"], impute_nan=False)
    assert ours.feature_names == ("mean local difference in col_num", "std_dev local difference in col_num")


@pytest.mark.parametrize(
    ("bibtex", "text"),
    [
        (
            '@a{b, title={{On {T}wo}}, author="A. Bee and Cee, D. and E. Eff", year={1999}, DOI={10/x}, pages={1--2}}',
            "Bee et al., On Two, 1-2 (1999), doi:10/x",
        ),
        ("@misc{, title = {A page}, url = {http://x.y/a{\\_}b}}", "A page, http://x.y/a_b"),
        ('@a{b, title="One", journal={J. X}, volume={3}, number={4}}', "One, J. X 3"),
        ("Ward,\n  private communication", "Ward, private communication"),
        ("@article{a, title = {unfinished", "unfinished"),
    ],
)
def test_citations_can_be_read(bibtex, text):
    assert readable(bibtex) == text
