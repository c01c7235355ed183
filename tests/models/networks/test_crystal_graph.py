import subprocess
import sys

import numpy as np
import pytest

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.models import load_surrogate
from matscout.models.networks.crystal_graph import CrystalGraph

SITES = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
A, B, X = (11, 19, 37, 55), (12, 20, 38, 56), (9, 17, 35, 53)
SMALL = {"n_members": 2, "epochs": 12, "width": 16, "n_convolutions": 2}

ELSEWHERE = """
import sys
import numpy as np
from matscout.models.networks.crystal_graph import CrystalGraph
assert not {"torch", "torch_geometric"} & set(sys.modules), "loaded before any crystal"
from matscout.crystals.crystal import Crystal
sites = np.array([[0, 0, 0], [.5, .5, .5], [.5, .5, 0], [.5, 0, .5], [0, .5, .5]])
crystals = [Crystal(edge * np.eye(3), sites, np.array([a, 12, 9, 9, 9])) for a in (11, 19) for edge in (4.0, 4.2, 4.4)]
y = np.arange(6.0)
p = CrystalGraph(n_members=2, epochs=3, width=8, seed=5).fit(crystals, y).predict(crystals)
sys.stdout.write((p.mean.tobytes() + p.std.tobytes()).hex())
"""


def perovskites():
    """Halide perovskites; the target is a sum over sites, of the electronegativity and of the edge."""
    crystals, target = [], []
    for place, (a, b, x) in enumerate((a, b, x) for a in A for b in B for x in X):
        edge = 3.9 + 0.02 * place
        crystals.append(Crystal(edge * np.eye(3), SITES, np.array([a, b, x, x, x])))
        target.append(0.01 * a + 0.02 * b - 0.05 * x)
    return crystals, np.array(target)


@pytest.fixture(scope="module")
def trained():
    crystals, y = perovskites()
    return CrystalGraph(**SMALL | {"epochs": 40}).fit(crystals, y), crystals, y


def test_it_learns_more_than_the_mean(trained):
    _, crystals, y = trained
    held = np.arange(len(y)) % 4 == 0
    kept = [one for one, out in zip(crystals, held, strict=True) if not out]
    found = (
        CrystalGraph(**SMALL | {"epochs": 60}).fit(kept, y[~held]).predict([crystals[i] for i in np.flatnonzero(held)])
    )
    assert np.abs(found.mean - y[held]).mean() < 0.4 * np.abs(y[held] - y[~held].mean()).mean()
    np.testing.assert_allclose(found.aleatoric**2 + found.epistemic**2, found.std**2)


def test_another_view_of_a_crystal_changes_nothing(trained):
    surrogate, crystals, _ = trained
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    given, seen = crystals[:5], []
    for crystal in given:
        order = rng.permutation(10)
        sites = (np.tile(crystal.frac_coords, (2, 1)) + np.repeat([[0, 0, 0], [1, 0, 0]], 5, axis=0)) / [2, 1, 1]
        lattice = crystal.lattice * [[2], [1], [1]] @ rotation
        seen.append(Crystal(lattice, sites[order] + rng.random(3), np.tile(crystal.numbers, 2)[order]))
    first, second = surrogate.predict(given), surrogate.predict(seen)
    np.testing.assert_allclose(second.mean, first.mean, atol=1e-5)
    np.testing.assert_allclose(second.std, first.std, atol=1e-5)


def test_what_sites_contribute_is_the_prediction(trained):
    surrogate, crystals, _ = trained
    contributions = surrogate.site_contributions(crystals[:6])
    assert [one.shape for one in contributions] == [(5,)] * 6
    np.testing.assert_allclose([one.mean() for one in contributions], surrogate.predict(crystals[:6]).mean, rtol=1e-12)
    for one in contributions:
        assert np.ptp(one[2:]) < 1e-12  # the three anions are alike
        assert np.ptp(one) > 0.01  # and unlike the cations
    backwards = [Crystal(c.lattice, c.frac_coords[::-1], c.numbers[::-1]) for c in crystals[:6]]
    for one, other in zip(contributions, surrogate.site_contributions(backwards), strict=True):
        np.testing.assert_allclose(other, one[::-1], atol=1e-5)


def test_a_classification_gives_probabilities():
    crystals, y = perovskites()
    labels = (y > np.median(y)).astype(float)
    surrogate = CrystalGraph(**SMALL | {"epochs": 40}, task="classification").fit(crystals, labels)
    found = surrogate.predict(crystals)
    assert ((found.mean >= 0) & (found.mean <= 1)).all()
    assert ((found.mean > 0.5) == labels).mean() > 0.9
    logits = np.array([one.mean() for one in surrogate.site_contributions(crystals)])
    assert ((logits > 0) == (found.mean > 0.5)).mean() > 0.95


def test_a_kept_one_predicts_the_same_bits(trained, tmp_path):
    surrogate, crystals, _ = trained
    surrogate.save(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
    before, after = surrogate.predict(crystals), load_surrogate(tmp_path).predict(crystals)
    assert (before.mean == after.mean).all()
    assert (before.std == after.std).all()


def test_two_processes_give_the_same_bits():
    def run():
        return subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True).stdout

    first = run()
    assert len(first) == 2 * 2 * 8 * 6
    assert run() == first


def test_another_seed_gives_another_ensemble():
    crystals, y = perovskites()
    first, again, other = (
        CrystalGraph(**SMALL | {"epochs": 2}, seed=seed).fit(crystals[:20], y[:20]).predict(crystals[:3]).mean
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_a_crystal_that_it_cannot_take_is_named_by_its_row(trained):
    surrogate, crystals, _ = trained
    with pytest.raises(UserError, match=r"row 1, Na1 Mg1 F3: 0\.20 Å³/atom"):
        surrogate.predict([crystals[0], Crystal(np.eye(3), SITES, crystals[0].numbers)])


@pytest.mark.parametrize("option", [{"width": 0}, {"radius": 1.0}, {"n_neighbours": 2.5}, {"dropout": 1.0}], ids=str)
def test_an_option_out_of_bounds_is_named(option):
    with pytest.raises(UserError, match=f"option {next(iter(option))} must be"):
        CrystalGraph(**option)
