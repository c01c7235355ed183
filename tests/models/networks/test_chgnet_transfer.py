import numpy as np
import pytest
import torch
from chgnet.model.model import CHGNet

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers.descriptors._chgnet import MODELS, loaded
from matscout.models import load_surrogate
from matscout.models.networks import chgnet_vectors
from matscout.models.networks.chgnet_transfer import CHGNetTransfer
from matscout.models.networks.chgnet_vectors import NAMES, vectors_of

ROCK_SALT = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
ALKALI, HALOGENS = (3, 11, 19, 37), (9, 17, 35, 53)
TUNED = {"mode": "fine-tune", "n_members": 2}


def rock_salt(cation, anion, edge):
    return Crystal(edge / 2 * (1 - np.eye(3)), ROCK_SALT, np.array([cation, anion]))


def halides():
    crystals, target = [], []
    for i, cation in enumerate(ALKALI):
        for j, anion in enumerate(HALOGENS):
            crystals.append(rock_salt(cation, anion, 4.2 + 0.5 * (i + j)))
            target.append(0.3 * i - 0.2 * j)
    return crystals, np.array(target)


def another_view(crystal, rng):
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    n = len(crystal)
    sites = (np.tile(crystal.frac_coords, (2, 1)) + np.repeat([[0, 0, 0], [1, 0, 0]], n, axis=0)) / [2, 1, 1]
    order = rng.permutation(2 * n)
    lattice = crystal.lattice * [[2], [1], [1]] @ rotation
    return Crystal(lattice, sites[order] + rng.random(3), np.tile(crystal.numbers, 2)[order])


@pytest.fixture(scope="module", params=["auto", "ridge", "extra_trees", "fine-tune"])
def trained(request):
    crystals, y = halides()
    options = TUNED if request.param == "fine-tune" else {"head": request.param}
    return CHGNetTransfer(**options).fit(crystals, y), crystals, y


def test_its_columns_are_what_chgnet_says():
    network = CHGNet.load(use_device="cpu", verbose=False)
    crystal = rock_salt(11, 17, 5.7)
    vectors = vectors_of([crystal], "0.3.0")[0]
    structure = crystal.structure()
    direct = network.predict_structure(structure, task="e", return_atom_feas=True, return_crystal_feas=True)
    columns = dict(zip(NAMES, vectors.columns.tolist(), strict=True))
    assert columns["energy"] == pytest.approx(float(direct["e"]), abs=1e-5)
    np.testing.assert_allclose(vectors.columns[:64], direct["crystal_fea"] / 2, atol=1e-4)
    np.testing.assert_allclose(vectors.columns[64:128], direct["atom_fea"].mean(axis=0), atol=1e-4)
    with torch.no_grad():
        site_energies = network.mlp(network.readout_norm(torch.from_numpy(vectors.of_sites)))
    assert columns["interaction energy"] == pytest.approx(float(site_energies.mean()), abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["embedding", "fine-tune"])
def test_each_edition_of_the_weights_is_learnt_from_and_kept(mode, model, tmp_path):
    crystals, y = halides()
    surrogate = CHGNetTransfer(mode=mode, model=model, n_members=1, epochs=2).fit(crystals, y)
    surrogate.save(tmp_path)
    assert (load_surrogate(tmp_path).predict(crystals).mean == surrogate.predict(crystals).mean).all()


@pytest.mark.parametrize("model", MODELS)
def test_each_edition_reads_its_energy_from_the_vectors_of_the_sites(model):
    network = loaded(model)
    norm = network.readout_norm or torch.nn.Identity()
    for vectors in vectors_of(halides()[0][:3], model):
        with torch.no_grad():
            site_energies = network.mlp(norm(torch.from_numpy(vectors.of_sites)))
        assert vectors.columns[NAMES.index("interaction energy")] == pytest.approx(
            site_energies.mean().item(), abs=1e-5
        )


def test_a_crystal_in_arrays_of_other_types_is_the_same_crystal():
    crystal = rock_salt(11, 17, 5.5)
    other = Crystal(crystal.lattice.astype(np.float32), crystal.frac_coords, crystal.numbers.astype(np.uint8))
    first, second = vectors_of([crystal, other], "0.3.0")
    assert (first.columns == second.columns).all()


def test_it_learns_more_than_the_mean(trained):
    surrogate, crystals, y = trained
    held = np.arange(len(y)) % 4 == 1
    again = surrogate.unfitted().fit([c for c, out in zip(crystals, held, strict=True) if not out], y[~held])
    found = again.predict([c for c, out in zip(crystals, held, strict=True) if out])
    assert np.abs(found.mean - y[held]).mean() < 0.7 * np.abs(y[held] - y[~held].mean()).mean()
    assert (found.std > 0).all()


def test_another_view_of_a_crystal_changes_nothing(trained):
    surrogate, crystals, _ = trained
    rng = np.random.default_rng(0)
    given = crystals[:4]
    first, second = surrogate.predict(given), surrogate.predict([another_view(one, rng) for one in given])
    # trees split where they split: a last digit may put a crystal on the other side of one threshold in hundreds
    loose = surrogate.options()["head"] == "extra_trees" and surrogate.options()["mode"] == "embedding"
    np.testing.assert_allclose(second.mean, first.mean, atol=0.05 if loose else 1e-4)


def test_a_kept_one_predicts_the_same_bits(trained, tmp_path):
    surrogate, crystals, _ = trained
    surrogate.save(tmp_path)
    before, after = surrogate.predict(crystals), load_surrogate(tmp_path).predict(crystals)
    assert (before.mean == after.mean).all()
    assert (before.std == after.std).all()
    assert not [file for file in tmp_path.rglob("*") if file.suffix in {".pkl", ".pt", ".joblib", ".tar"}]


def test_the_same_seed_gives_the_same_bits(trained):
    surrogate, crystals, y = trained
    chgnet_vectors._vectors.cache_clear()
    again = surrogate.unfitted().fit(crystals, y)
    assert (again.predict(crystals).mean == surrogate.predict(crystals).mean).all()


def test_training_leaves_the_packaged_weights_alone():
    crystals, y = halides()
    before = vectors_of(crystals[:1], "0.3.0")[0].columns
    CHGNetTransfer(**TUNED | {"epochs": 2}).fit(crystals, y)
    chgnet_vectors._vectors.cache_clear()
    assert (vectors_of(crystals[:1], "0.3.0")[0].columns == before).all()


def test_a_classification_gives_probabilities():
    crystals, y = halides()
    labels = (y > np.median(y)).astype(float)
    for options in ({}, TUNED):
        found = CHGNetTransfer(**options, task="classification").fit(crystals, labels).predict(crystals)
        assert ((found.mean >= 0) & (found.mean <= 1)).all()
        assert ((found.mean > 0.5) == labels).mean() > 0.8


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (rock_salt(84, 8, 5.7), "row 1, Po1 O1: CHGNet was never trained with Po"),
        (rock_salt(96, 9, 5.7), "row 1, Cm1 F1: CHGNet was never trained with Cm"),
        (rock_salt(11, 17, 1.5), "row 1, Na1 Cl1: 0.42 Å³/atom is less than any crystal has"),
        (rock_salt(11, 17, 30.0), "row 1, Na1 Cl1: the Na atom on site 0 has no neighbour within 6 Å"),
    ],
    ids=["never seen", "too heavy", "dense", "isolated"],
)
def test_a_crystal_that_chgnet_cannot_take_is_named_by_its_row(crystal, message):
    crystals, y = halides()
    surrogate = CHGNetTransfer(head="ridge").fit(crystals[:4], y[:4])
    with pytest.raises(UserError) as caught:
        surrogate.predict([crystals[0], crystal])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mode": "finetune"},
            "option mode must be one of embedding, fine-tune, got 'finetune'. Did you mean fine-tune",
        ),
        ({"head": "dummy"}, "option head must be one of auto, gaussian_process, ridge"),
        (
            {"head": "gaussian_process", "task": "classification"},
            "learns no classification; take ridge",
        ),
        ({"model": "0.4.2"}, "option model must be one of 0.3.0"),
    ],
    ids=["mode", "head", "task", "model"],
)
def test_a_bad_option_is_named(options, message):
    with pytest.raises(UserError) as caught:
        CHGNetTransfer(**options)
    assert message in str(caught.value)
