"""What is said where the files of a kept model were damaged, changed, or written by another version."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from matscout.errors import MatscoutWarning, UserError
from matscout.models import CalibratedSurrogate, DeltaSurrogate, Model, load_surrogate, make_surrogate, train_model
from matscout.models.kept_files import (
    FORM,
    DamagedError,
    fingerprints,
    finite,
    read_arrays,
    read_bytes,
    read_json,
    read_tensors,
)
from matscout.models.model import read_card

FORMULAS = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs", "Ag") for x in ("F", "Cl", "Br", "I")]
ENERGIES = np.linspace(-3.0, -1.0, len(FORMULAS)) + 0.1 * np.sin(np.arange(len(FORMULAS)))
DAMAGE = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(range(256)) * 20,
    "text": lambda content: b"no model at all",
    "changed": lambda content: content[:-40] + bytes(20) + content[-20:],
}
SMALL = {
    "ridge": {},
    "extra_trees": {"n_trees": 5},
    "adaboost_trees": {"n_rounds": 3},
    "xgboost": {"n_members": 2, "n_trees": 5},
    "gaussian_process": {"max_iterations": 5, "device": "cpu"},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "e_form.model"
    options = {"surrogate": "extra_trees", "features": ["period_group"], "n_trees": 5, "folds": 3}
    train_model(FORMULAS, ENERGIES, target="e_form", **options).save(folder)
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "e_form.model")


def rewrite(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["domain.npz", "surrogate/trees.npz", "calibration.json", "surrogate/surrogate.json"])
def test_each_damaged_file_of_a_model_is_named_in_one_line(folder, name, damage):
    file = folder / "surrogate" / name
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.raises(UserError) as caught:
        Model.load(folder)
    expected = f"{folder} is damaged (surrogate/{name} is not as it was kept): train it again"
    assert str(caught.value) == expected


def test_a_lost_file_is_named(folder):
    (folder / "surrogate" / "domain.npz").unlink()
    with pytest.raises(UserError, match=r"is damaged \(surrogate/domain\.npz is not there\): train it again"):
        Model.load(folder)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["calibration.json", "domain.npz", "surrogate/trees.npz", "surrogate/surrogate.json"])
def test_without_a_card_damaged_files_are_named_all_the_same(folder, name, damage):
    place = folder / "surrogate"
    file = place / name
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.raises(UserError) as caught:
        CalibratedSurrogate.load(place)
    assert str(caught.value) == f"{place} is damaged ({name} cannot be read): train it again"


@pytest.mark.parametrize(
    "changes",
    [
        {"prior_std": "wide"},
        {"prior_mean": None},
        {"law": {}},
        {"law": []},
        {"law": {"overall": {"slope": "1", "intercept": 0, "floor": 0, "factors": {}}, "of_kind": {}}},
        {"options": 7},
        {"calibration_options": {"folds": []}},
        {"report": {"a": 1}},
        {"version": "two"},
        {"version": True},
        {"surrogate": ["extra_trees"]},
    ],
    ids=str,
)
def test_fields_of_another_type_are_damage(folder, changes):
    rewrite(folder / "surrogate" / "calibration.json", **changes)
    with pytest.raises(UserError) as caught:
        CalibratedSurrogate.load(folder / "surrogate")
    assert "calibration.json cannot be read" in str(caught.value) or "folds" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"columns": 3}, {"columns": {"number": "x"}}, {"state": None}, {"state": {"medians": "no", "learnt": {}}}],
    ids=str,
)
def test_so_they_are_in_the_document_of_a_surrogate(folder, changes):
    rewrite(folder / "surrogate" / "surrogate" / "surrogate.json", **changes)
    with pytest.raises(DamagedError, match=r"surrogate is damaged \(surrogate\.json cannot be read\)"):
        load_surrogate(folder / "surrogate" / "surrogate")


@pytest.mark.parametrize(
    "changes",
    [
        {"features": [{"a": 1}]},
        {"features": "magpie"},
        {"n_rows": "many"},
        {"unknown": 1},
        {"files": {}},
        {"files": {"/etc/nothing": "0"}},
        {"version": None},
    ],
    ids=str,
)
def test_a_damaged_card_is_said_without_the_words_of_pydantic(folder, changes):
    rewrite(folder / "card.json", **changes)
    with pytest.raises(UserError) as caught:
        Model.load(folder)
    assert str(caught.value).startswith(f"{folder} is damaged (card.json ")
    assert str(caught.value).endswith("): train it again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe{", b'{"version": NaN}', b"[" * 100_000])
def test_a_card_that_is_no_json_is_damaged(folder, content):
    (folder / "card.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_card(folder)
    assert str(caught.value) == f"{folder} is damaged (card.json cannot be read): train it again"


@pytest.mark.parametrize("form", [FORM - 1, FORM + 1])
def test_another_form_is_said_before_anything_else_is_looked_at(folder, form):
    rewrite(folder / "card.json", version=form, what_is_this=1)
    said = f"{folder} was kept in form {form}, this version of matscout reads {FORM}: train it again"
    with pytest.raises(UserError) as caught:
        Model.load(folder)
    assert str(caught.value) == said
    for place, name in (("surrogate", "calibration.json"), ("surrogate/surrogate", "surrogate.json")):
        rewrite(folder / place / name, version=form)
    with pytest.raises(UserError, match=f"surrogate was kept in form {form}, .* train it again"):
        CalibratedSurrogate.load(folder / "surrogate")
    with pytest.raises(UserError, match=f"surrogate was kept in form {form}, .* train it again"):
        load_surrogate(folder / "surrogate" / "surrogate")


def test_the_card_has_the_fingerprint_of_every_other_file(folder):
    card = read_card(folder)
    assert {**card.files} == {name: digest for name, digest in fingerprints(folder).items() if name != "card.json"}
    assert set(card.files) == {
        f"surrogate/{name}"
        for name in ("calibration.json", "domain.npz", "surrogate/surrogate.json", "surrogate/trees.npz")
    }
    (folder / ".DS_Store").write_text("of another program")
    assert Model.load(folder).predict(["NaCl"])["mean"].notna().all()


def test_a_number_that_was_edited_is_not_predicted_with(folder):
    file = folder / "surrogate" / "calibration.json"
    document = json.loads(file.read_text())
    document["law"]["overall"]["floor"] *= 2
    file.write_text(json.dumps(document, indent=1) + "\n")
    with pytest.raises(UserError, match=r"calibration\.json is not as it was kept"):
        Model.load(folder)


def test_other_releases_are_warned_of_where_they_matter(folder):
    versions = read_card(folder).versions
    rewrite(folder / "card.json", versions=versions | {"scikit-learn": "0.1", "torch": "0.2", "numpy": "0.3"})
    with pytest.warns(MatscoutWarning) as caught:
        Model.load(folder)
    [warning] = caught
    said = str(warning.message)
    assert f"numpy 0.3, here {versions['numpy']}; scikit-learn 0.1, here {versions['scikit-learn']}" in said
    assert "torch" not in said
    assert "\n" not in said


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("damage", ["empty", "cut short", "text"])
def test_what_any_surrogate_learnt_is_read_with_care(name, damage, tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 3))
    make_surrogate(name, folds=2, **SMALL[name]).surrogate.fit(X, X[:, 0]).save(tmp_path)
    [file, *_] = sorted(path for path in tmp_path.iterdir() if path.suffix != ".json")
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.raises(DamagedError, match=rf"is damaged \({file.name} cannot be read\): train it again"):
        load_surrogate(tmp_path)
    file.unlink()
    with pytest.raises(DamagedError, match=rf"is damaged \({file.name} is not there\)"):
        load_surrogate(tmp_path)


def test_networks_are_read_with_care(tmp_path):
    options = {"n_members": 1, "epochs": 1, "width": 8, "n_layers": 1, "n_heads": 2, "device": "cpu"}
    make_surrogate("composition_network", **options).surrogate.fit(FORMULAS, ENERGIES).save(tmp_path)
    file = tmp_path / "member-0.safetensors"
    whole = file.read_bytes()
    for damage in DAMAGE.values():
        if damage(whole)[:-40] == whole[:-40]:
            continue
        file.write_bytes(damage(whole))
        with pytest.raises(DamagedError, match=r"member-0\.safetensors cannot be read"):
            load_surrogate(tmp_path)
    file.write_bytes(whole)
    rewrite(
        tmp_path / "surrogate.json",
        options=json.loads((tmp_path / "surrogate.json").read_text())["options"] | {"width": 16},
    )
    with pytest.raises(DamagedError, match=r"member-0\.safetensors cannot be read"):
        load_surrogate(tmp_path)


def test_kriging_and_corrections_are_read_with_care(tmp_path):
    make_surrogate("local_kriging", neighbours=5).surrogate.fit(FORMULAS, ENERGIES).save(tmp_path / "kriging")
    [file] = [path for path in (tmp_path / "kriging").iterdir() if path.suffix == ".npz"]
    file.write_bytes(b"PK")
    with pytest.raises(DamagedError, match="cannot be read"):
        load_surrogate(tmp_path / "kriging")
    X = np.random.default_rng(0).normal(size=(30, 3))
    DeltaSurrogate("ridge", folds=2).fit(X, X[:, 0], baseline=X[:, 0] + 1).save(tmp_path / "delta")
    (tmp_path / "delta" / "plain" / "domain.npz").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"delta is damaged \(plain/domain\.npz cannot be read\)"):
        DeltaSurrogate.load(tmp_path / "delta")
    rewrite(tmp_path / "delta" / "delta.json", version=FORM + 1)
    with pytest.raises(UserError, match=f"delta was kept in form {FORM + 1}"):
        DeltaSurrogate.load(tmp_path / "delta")


def test_readers_say_what_is_damaged(tmp_path):
    for reader in (read_arrays, read_bytes, read_json, read_tensors):
        with pytest.raises(DamagedError, match=r"is damaged \(lost is not there\)"):
            reader(tmp_path / "lost")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DamagedError, match=r"one\.npy cannot be read"):
        read_arrays(tmp_path / "one.npy")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(DamagedError, match=r"objects\.npz cannot be read"):
        read_arrays(tmp_path / "objects.npz")


def test_numbers_are_told_from_what_is_none():
    assert finite({"a": 1, "b": {"c": 0.5}}) == {"a": 1, "b": {"c": 0.5}}
    for wrong in ({"a": "1"}, {"a": None}, {"a": {"b": True}}, {"a": [1.0]}, {"a": float("inf")}, "1"):
        with pytest.raises(TypeError, match="expected a finite number"):
            finite(wrong)
