"""What holds for every surrogate."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from matscout.errors import UserError
from matscout.models import (
    SURROGATES,
    CalibratedSurrogate,
    base,
    load_surrogate,
    make_surrogate,
    surrogate_options,
)
from matscout.models.inputs import FeatureInputs
from matscout.models.registry import surrogate_class
from matscout.models.validation.groups import numbered

NAMES = list(SURROGATES)
LEARNERS = [name for name in NAMES if name != "dummy"]
# of few rows these draw nothing
DRAW_NOTHING = ("dummy", "ridge", "gaussian_process", "local_kriging", "chgnet_transfer")
RANDOM = [name for name in NAMES if name not in DRAW_NOTHING]


def of_kind(kind, names=NAMES):
    return [name for name in names if surrogate_class(name).takes == kind]


FEATURES = of_kind("features")
CLASSIFIERS = [name for name in NAMES if "classification" in surrogate_class(name).tasks]
EVERY = pytest.mark.parametrize("name", NAMES)
EVERY_LEARNER = pytest.mark.parametrize("name", LEARNERS)
EVERY_OF_FEATURES = pytest.mark.parametrize("name", FEATURES)
EVERY_CLASSIFIER = pytest.mark.parametrize("name", CLASSIFIERS)

ELSEWHERE = """
import json, runpy, sys
from matscout.models import CalibratedSurrogate, load_surrogate
kit, (name, folder) = runpy.run_path(sys.argv[1]), sys.argv[2:]
X, y = kit["data"](name)
rows = kit["unseen"](name)[0][:50]
print(json.dumps({
    "trained": kit["bits"](kit["small"](name, seed=7).fit(X, y, groups=kit["groups"](y)).predict(rows)),
    "loaded": kit["bits"](CalibratedSurrogate.load(folder).predict(rows)),
    "bare": kit["bits"](load_surrogate(folder + "/surrogate").predict(rows)),
}))
"""


@EVERY
def test_another_process_trains_and_loads_the_same_bits(name, kit, tmp_path):
    X, y = kit.data(name)
    rows = kit.unseen(name)[0][:50]
    surrogate = kit.small(name, seed=7).fit(X, y, groups=kit.groups(y))
    surrogate.save(tmp_path)
    here = kit.bits(surrogate.predict(rows))
    assert kit.bits(CalibratedSurrogate.load(tmp_path).predict(rows)) == here
    command = [sys.executable, "-c", ELSEWHERE, kit.file, name, str(tmp_path)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found == {"trained": here, "loaded": here, "bare": kit.bits(surrogate.surrogate.predict(rows))}


@EVERY_CLASSIFIER
def test_a_kept_classification_predicts_the_same_bits(name, kit, tmp_path):
    X, y = kit.data(name)
    surrogate = kit.bare(name, task="classification").fit(X, y > np.median(y))
    surrogate.save(tmp_path)
    assert kit.bits(load_surrogate(tmp_path).predict(X)) == kit.bits(surrogate.predict(X))


@EVERY
def test_nothing_kept_is_pickled(name, kit, tmp_path):
    X, y = kit.data(name)
    kit.bare(name).fit(X, y).save(tmp_path)
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds <= {".json", ".npz", ".ubj", ".safetensors"}
    for file in tmp_path.rglob("*.npz"):
        with np.load(file, allow_pickle=False) as archive:
            assert all(archive[member].dtype != object for member in archive.files)


@EVERY_LEARNER
def test_it_learns_more_than_the_mean(name, kit):
    X, y = kit.data(name)
    rows, truth = kit.unseen(name)
    prediction = kit.full(name).fit(X, y).predict(rows)
    assert np.abs(prediction.mean - truth).mean() < 0.7 * np.abs(y.mean() - truth).mean()


@EVERY
def test_a_prediction_is_one_finite_mean_and_std_per_row(name, kit):
    X, y = kit.data(name)
    for surrogate in (kit.bare(name).fit(X, y), kit.small(name).fit(X, y)):
        prediction = surrogate.predict(X[:7])
        for part in (prediction.mean, prediction.std):
            assert part.shape == (7,)
            assert part.dtype == np.float64
            assert np.isfinite(part).all()
        assert (prediction.std >= 0).all()
        if prediction.aleatoric is not None:
            squares = prediction.aleatoric**2 + prediction.epistemic**2
            np.testing.assert_allclose(squares, prediction.std**2, rtol=1e-6, atol=1e-12)
    assert (prediction.std > 0).all()


@EVERY
def test_no_row_gives_no_prediction(name, kit):
    X, y = kit.data(name)
    assert len(kit.bare(name).fit(X, y).predict(X[:0])) == 0


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_gives_another_model(name, kit):
    X, y = kit.data(name, 60)
    rows = kit.unseen(name)[0][:50]
    first, again, other = (kit.bare(name, seed=seed).fit(X, y).predict(rows).mean for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@EVERY
def test_an_unfitted_copy_has_the_options_and_has_learnt_nothing(name, kit):
    X, y = kit.data(name, 60)
    surrogate = kit.bare(name, seed=3)
    before = kit.bits(surrogate.fit(X, y).predict(X))
    copy = surrogate.unfitted()
    assert copy.options() == surrogate.options()
    with pytest.raises(RuntimeError, match="fit the surrogate before it predicts"):
        copy.predict(X)
    with pytest.raises(RuntimeError, match="fit the surrogate before it is kept"):
        copy.save("nowhere")
    copy.fit(X, y[::-1])
    assert kit.bits(surrogate.predict(X)) == before


@EVERY
def test_rows_are_predicted_one_by_one(name, kit, monkeypatch):
    X, y = kit.data(name)
    surrogate = kit.bare(name).fit(X, y)
    whole = surrogate.predict(X)
    monkeypatch.setattr(base, "CHUNK_ROWS", 7)
    parts = surrogate.predict(X)
    order = np.random.default_rng(0).permutation(len(X))
    mixed = surrogate.predict(X[order] if isinstance(X, np.ndarray) else [X[row] for row in order])
    # products of a network's matrices depend in the last bits of single precision on how many rows are multiplied
    tolerance = 0.0 if name in FEATURES else 1e-5
    for found, expected in ((parts, whole), (mixed, whole.take(order))):
        np.testing.assert_allclose(found.mean, expected.mean, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(found.std, expected.std, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", of_kind("compositions"))
def test_order_and_multiples_of_a_formula_do_not_count(name, kit):
    X, y = kit.data(name)
    surrogate = kit.bare(name).fit(X, y)
    twice = ["".join(f"{element}{2 * n:g}" for element, n in reversed(Composition(one).items())) for one in X]
    for other in (twice, [Composition(one) for one in X]):
        found = surrogate.predict(other)
        np.testing.assert_allclose(found.mean, surrogate.predict(X).mean, rtol=1e-6)
        np.testing.assert_allclose(found.std, surrogate.predict(X).std, rtol=1e-5)


@pytest.mark.parametrize("name", of_kind("crystals"))
def test_the_choice_of_cell_does_not_count(name, kit):
    X, y = kit.data(name)
    surrogate = kit.bare(name).fit(X, y)
    rows = X[:10]
    mixed = [one.get_sorted_structure(key=lambda site: (-site.specie.Z, -site.frac_coords[2])) for one in rows]
    shifted = [one.copy().translate_sites(range(len(one)), [0.13, 0.29, 0.41]) for one in rows]
    doubled = [one.make_supercell([[2, 0, 0], [0, 1, 0], [0, 0, 1]], in_place=False) for one in rows]
    expected = surrogate.predict(rows)
    for other in (mixed, shifted, doubled):
        found = surrogate.predict(other)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.std, expected.std, rtol=1e-3, atol=1e-5)


@EVERY_LEARNER
def test_beyond_the_training_domain_the_std_is_larger(name, kit):
    X, y = kit.data(name)
    surrogate = kit.full(name).fit(X, y)
    near, far = (surrogate.predict(kit.unseen(name, far=away)[0]) for away in (False, True))
    assert far.std.mean() > 1.2 * near.std.mean()
    assert far.distance.mean() > near.distance.mean()


@EVERY
def test_calibrated_intervals_hold_what_they_promise(name, kit):
    X, y = kit.data(name)
    rows, truth = kit.unseen(name)
    lower, upper = kit.small(name).fit(X, y).predict(rows).interval(90)
    assert 0.8 <= np.mean((lower <= truth) & (truth <= upper)) <= 0.97


@EVERY_CLASSIFIER
def test_a_classification_tells_probabilities(name, kit):
    X, y = kit.data(name)
    rows, truth = kit.unseen(name)
    limit = np.median(y)
    for surrogate in (kit.bare(name, task="classification"), kit.small(name, task="classification")):
        chance = surrogate.fit(X, y > limit).predict(rows)
        assert (chance.mean >= 0).all()
        assert (chance.mean <= 1).all()
        assert (chance.std >= 0).all()
    if name != "dummy":
        assert np.mean((chance.mean - (truth > limit)) ** 2) < 0.9 * 0.25  # of one half for everything


@EVERY_OF_FEATURES
def test_unknown_features_are_refused_or_imputed_by_choice(name, kit, tmp_path):
    X, y = kit.data(name)
    holes = X.copy()
    holes[4, 3] = holes[9, 5] = np.nan
    frame = pd.DataFrame(holes, columns=[f"feature {column}" for column in range(20)])
    said = r"2 of 120 rows have unknown features \(NaN\), the first is feature 3 in row 4: .* option missing=median"
    with pytest.raises(UserError, match=said):
        kit.bare(name).fit(frame, y)
    with pytest.raises(UserError, match="the first is column 3 in row 4"):
        kit.bare(name).fit(X, y).predict(holes)
    filled = holes.copy()
    filled[4, 3], filled[9, 5] = np.nanmedian(holes[:, 3]), np.nanmedian(holes[:, 5])
    imputing = kit.bare(name, missing="median").fit(holes, y)
    expected = kit.bare(name).fit(filled, y).predict(filled)
    assert kit.bits(imputing.predict(holes)) == kit.bits(expected)
    imputing.save(tmp_path)
    assert kit.bits(load_surrogate(tmp_path).predict(holes)) == kit.bits(expected)
    native = surrogate_class(name).native_missing
    if native:
        assert np.isfinite(kit.bare(name, missing="native").fit(holes, y).predict(holes).mean).all()
    with pytest.raises(
        UserError, match="option missing must be one of refuse, median" + (", native" if native else "")
    ):
        kit.bare(name, missing="zero")


def test_unknown_features_are_counted_over_all_parts(kit, monkeypatch):
    X, y = kit.data("dummy")
    surrogate = kit.bare("dummy").fit(X, y)
    X[[23, 24, 90], 6] = np.nan
    monkeypatch.setattr(base, "CHUNK_ROWS", 10)
    with pytest.raises(UserError, match=r"3 of 120 rows .*, the first is column 6 in row 23"):
        surrogate.predict(X)


@EVERY_OF_FEATURES
def test_a_column_without_any_value_does_no_harm(name, kit, recwarn):
    X, y = kit.data(name, 40)
    X[:, 3] = np.nan
    assert np.isfinite(kit.small(name, missing="median").fit(X, y).predict(X).mean).all()
    assert not recwarn.list


@EVERY_OF_FEATURES
def test_other_features_than_in_training_are_refused(name, kit, tmp_path):
    X, y = kit.data(name, 40)
    columns = tuple(f"feature {column}" for column in range(20))
    trained = kit.bare(name).fit(FeatureInputs(X, columns, {"magpie": "1"}), y)
    trained.save(tmp_path)
    for surrogate in (trained, load_surrogate(tmp_path)):
        frame = pd.DataFrame(X, columns=columns)
        assert len(surrogate.predict(frame)) == 40
        with pytest.raises(UserError, match="in another order than in training: column 0 is feature 19"):
            surrogate.predict(frame[list(columns[::-1])])
        with pytest.raises(UserError, match="1 features of the training are missing, the first is feature 7"):
            surrogate.predict(frame.drop(columns="feature 7"))
        with pytest.raises(UserError, match="1 features were not there in training, the first is more"):
            surrogate.predict(frame.assign(more=0.0))
        with pytest.raises(UserError, match=r"features magpie are of another version \(2\) than in training \(1\)"):
            surrogate.predict(FeatureInputs(X, columns, {"magpie": "2"}))
        with pytest.raises(UserError, match="expected 20 features in columns, as in training, got 5"):
            surrogate.predict(X[:, :5])


@EVERY
def test_a_target_that_teaches_nothing_is_refused(name, kit):
    X, _ = kit.data(name, 20)
    with pytest.raises(UserError, match=r"all 20 targets are 0\.3: a constant target teaches nothing"):
        kit.small(name).fit(X, np.full(20, 0.3))
    if name in CLASSIFIERS:
        with pytest.raises(UserError, match=r"all 20 targets are of one class \(1\)"):
            kit.small(name, task="classification").fit(X, np.ones(20))
        with pytest.raises(UserError, match="a classification has targets 0 and 1, got 2 in row 19"):
            kit.small(name, task="classification").fit(X, np.arange(20) // 19 * 2)
    else:
        with pytest.raises(UserError, match="option task must be one of regression"):
            kit.small(name, task="classification")


@EVERY
def test_data_that_does_not_fit_together_is_refused(name, kit):
    X, y = kit.data(name, 20)
    surrogate = kit.small(name)
    with pytest.raises(ValueError, match=r"expected one target per row, shape \(20,\), got \(19,\)"):
        surrogate.fit(X, y[:-1])
    with pytest.raises(ValueError, match=r"expected one group per row, shape \(20,\), got \(2,\)"):
        surrogate.fit(X, y, groups=["a", "b"])
    with pytest.raises(ValueError, match="y is not finite in row 3"):
        surrogate.fit(X, np.where(np.arange(20) == 3, np.nan, y))
    with pytest.raises(ValueError, match="nothing to learn from"):
        surrogate.fit(X[:0], [])
    with pytest.raises(UserError, match="4 rows cannot be parted into 5 folds"):
        surrogate.fit(X[:4], y[:4])


@EVERY_OF_FEATURES
def test_shapes_and_infinite_features_are_refused(name, kit):
    X, y = kit.data(name, 20)
    wild = np.where(np.arange(20) == 2, np.inf, X)
    surrogate = kit.bare(name)
    with pytest.raises(ValueError, match="expected X of shape"):
        surrogate.fit(X[0], y)
    with pytest.raises(ValueError, match="X is infinite in column 2"):
        surrogate.fit(wild, y)
    with pytest.raises(ValueError, match="X is infinite in column 2"):
        surrogate.fit(X, y).predict(wild)


@EVERY_OF_FEATURES
def test_features_beyond_single_precision_are_infinite(name, kit):
    X, y = kit.data(name, 20)
    X[3, 2] = -1e39
    surrogate = kit.bare(name)
    with pytest.raises(ValueError, match=r"X is infinite in column 2: no feature may be larger than 3\.4e"):
        surrogate.fit(X, y)
    with pytest.raises(ValueError, match="X is infinite in column 2"):
        surrogate.fit(kit.data(name, 20)[0], y).predict(X)


def test_options_may_be_numpys_numbers(kit, tmp_path):
    X, y = kit.data("extra_trees", 40)
    options = {"n_trees": np.int64(5), "seed": np.int32(3), "column_fraction": np.float64(0.5), "folds": np.int64(4)}
    made = make_surrogate("extra_trees", **options).fit(X, y)
    made.save(tmp_path)
    kept = CalibratedSurrogate.load(tmp_path)
    assert kept.surrogate.options() == made.surrogate.options()
    assert type(made.surrogate.options()["n_trees"]) is int
    assert kept.calibration_options() == {"folds": 4, "transform": "none", "domain": "widen"}
    assert (kept.predict(X).mean == made.predict(X).mean).all()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["Fe-O", None] * 10, "10 of 20 rows have no group .* row 1:"),
        (["Fe-O"] * 19 + [float("nan")], "1 of 20 rows have no group .* row 19:"),
        (np.r_[np.zeros(10), np.full(10, np.nan)], "10 of 20 rows have no group .* row 10:"),
        (np.array(["Fe-O", np.nan] * 10, dtype=object), "10 of 20 rows have no group .* row 1:"),
    ],
)
def test_rows_without_a_group_are_named(labels, said, kit):
    X, y = kit.data("dummy", 20)
    for surrogate in (kit.small("dummy"), kit.bare("dummy")):
        with pytest.raises(UserError, match=said):
            surrogate.fit(X, y, groups=labels)
    with pytest.raises(UserError, match=said):
        numbered(labels, 20)
    with pytest.raises(UserError, match=said.replace("group", "prototype")):
        numbered(labels, 20, "prototype")


@EVERY_OF_FEATURES
def test_two_rows_are_enough_to_begin(name, kit):
    surrogate = kit.small(name, folds=2, domain="none").fit([[0.0, 1.0], [1.0, 0.0]], [0.2, 0.4])
    prediction = surrogate.predict([[0.5, 0.5]])
    assert 0.2 <= prediction.mean[0] <= 0.4
    assert prediction.std[0] == pytest.approx(np.std([0.2, 0.4], ddof=1))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r'unknown surrogate "xgbost"\. Did you mean xgboost?'):
        make_surrogate("xgbost")


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r'xgboost has no option "n_member"\. Did you mean n_members?'):
        make_surrogate("xgboost", n_member=5)
    with pytest.raises(UserError, match='dummy has no option "n_members"'):
        make_surrogate("dummy", n_members=5)


@pytest.mark.parametrize(
    ("option", "value"),
    [("n_members", 1), ("n_members", 2.5), ("n_trees", "many"), ("row_fraction", 0.0), ("seed", -1), ("folds", True)],
)
def test_an_option_out_of_bounds_is_named_with_its_value(option, value):
    with pytest.raises(UserError, match=f"option {option} must be .*, got {value!r}"):
        make_surrogate("xgboost", **{option: value})


@EVERY
def test_options_are_told_before_anything_is_made(name):
    assert {"seed", "task", "folds"} <= set(surrogate_options(name))
    assert surrogate_class(name).name == name


def test_importing_the_package_imports_no_learner():
    code = (
        "import sys, matscout.models as m; [m.make_surrogate(name) for name in sys.argv[1:]]; m.acquisition; "
        "print([m for m in ('xgboost', 'sklearn', 'torch', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code, *NAMES], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
