"""The network over elements: invariant, deterministic, and less sure of what it never saw."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers import CompositionFeaturizer
from matscout.featurizers.elements import magpie_table
from matscout.models import load_surrogate
from matscout.models.inputs import as_inputs
from matscout.models.networks import network_surrogate
from matscout.models.networks.composition_layers import (
    CompositionRows,
    ElementAttention,
    composition_statistics,
    element_properties,
)
from matscout.models.networks.composition_network import CompositionNetwork
from matscout.models.registry import surrogate_class

CATIONS, ANIONS = ("Li", "Na", "K", "Mg", "Ca", "Ti", "Fe", "Al"), ("O", "S", "F", "Cl")
TINY = {"n_members": 2, "epochs": 25, "width": 16, "n_layers": 1, "n_heads": 2, "learning_rate": 1e-2, "device": "cpu"}

FINGERPRINT = """
import hashlib
from matscout.models.networks.composition_network import CompositionNetwork
network = CompositionNetwork(n_members=2, epochs=3, width=8, n_heads=2, device="cpu", seed=7)
formulas = ["NaCl", "KCl", "Fe2O3", "MgO", "CaTiO3", "LiF", "Al2O3", "FeS2"] * 64
p = network.fit(formulas, [0.1 * (i % 8) for i in range(512)], groups=[i // 8 for i in range(512)]).predict(formulas)
print(hashlib.sha256(p.mean.tobytes() + p.std.tobytes()).hexdigest())
"""


def formulas_of(rng, n, cations=CATIONS, anions=ANIONS):
    """Random ternary and quaternary formulas."""
    found = []
    for _ in range(n):
        elements = [*rng.choice(cations, rng.integers(1, 3), replace=False), rng.choice(anions)]
        found.append("".join(f"{element}{rng.integers(1, 5)}" for element in elements))
    return found


def law(formulas):
    """Minus the fraction-weighted spread of electronegativities: what bonds ions, in a word."""
    inputs = as_inputs("compositions", formulas)
    values = np.nan_to_num(magpie_table().column("Electronegativity"))[inputs.numbers]
    mean = (inputs.fractions * values).sum(axis=1, keepdims=True)
    return -(inputs.fractions * (values - mean) ** 2).sum(axis=1)


def tiny(**options):
    return CompositionNetwork(**(TINY | options))


@pytest.fixture(scope="module")
def fitted():
    formulas = formulas_of(np.random.default_rng(0), 150)
    return tiny().fit(formulas, law(formulas))


def test_it_learns_more_than_the_mean(fitted):
    unseen = formulas_of(np.random.default_rng(1), 200)
    truth = law(unseen)
    prediction = fitted.predict(unseen)
    assert np.abs(prediction.mean - truth).mean() < 0.4 * np.abs(truth - truth.mean()).mean()
    assert np.allclose(prediction.std**2, prediction.aleatoric**2 + prediction.epistemic**2)


def test_twenty_rows_are_enough_to_begin_with():
    rng = np.random.default_rng(2)
    formulas, unseen = formulas_of(rng, 20), formulas_of(rng, 200)
    truth = law(unseen)
    mean = tiny(epochs=40).fit(formulas, law(formulas)).predict(unseen).mean
    assert np.abs(mean - truth).mean() < 0.8 * np.abs(truth - law(formulas).mean()).mean()


amounts = st.dictionaries(st.sampled_from((*CATIONS, *ANIONS)), st.integers(1, 9), min_size=1, max_size=6)


@settings(max_examples=30)
@given(amounts, st.randoms(use_true_random=False), st.integers(2, 7))
def test_order_of_elements_and_multiples_make_no_difference(fitted, composition, random, multiple):
    shuffled = list(composition.items())
    random.shuffle(shuffled)
    forms = [
        "".join(f"{element}{n}" for element, n in composition.items()),
        "".join(f"{element}{n}" for element, n in shuffled),
        "".join(f"{element}{n * multiple}" for element, n in shuffled),
    ]
    said = [fitted.predict([form]) for form in forms]
    assert said[0].mean.item() == said[1].mean.item() == said[2].mean.item()
    assert said[0].std.item() == said[1].std.item() == said[2].std.item()


def test_a_row_does_not_depend_on_those_beside_it(fitted):
    formulas = formulas_of(np.random.default_rng(3), 50)
    together = fitted.predict(formulas)
    alone = [fitted.predict([formula]).mean.item() for formula in formulas]
    assert together.mean == pytest.approx(alone, abs=1e-5)
    assert fitted.predict(formulas[::-1]).mean[::-1] == pytest.approx(together.mean, abs=1e-5)


def test_no_row_gives_no_prediction(fitted):
    assert len(fitted.predict([])) == 0


def test_two_processes_say_the_same_bits():
    command = [sys.executable, "-c", FINGERPRINT]
    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1] != ""


def test_a_kept_network_says_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path)
    unseen = formulas_of(np.random.default_rng(4), 30)
    before, after = fitted.predict(unseen), load_surrogate(tmp_path).predict(unseen)
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.std, after.std)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"surrogate.json", "member-0.safetensors", "member-1.safetensors"}
    json.loads((tmp_path / "surrogate.json").read_text())


def test_it_is_less_sure_of_elements_it_never_saw():
    rng = np.random.default_rng(5)
    formulas = formulas_of(rng, 300)
    network = tiny(n_members=4).fit(formulas, law(formulas))
    known = formulas_of(rng, 100)
    strange = formulas_of(rng, 100, cations=("Pu", "W", "Hg", "Cs", "Gd"), anions=("H", "Te", "Bi"))
    of_known, of_strange = network.predict(known), network.predict(strange)
    assert np.median(of_strange.std) > 1.4 * np.median(of_known.std)
    assert np.median(of_strange.epistemic) > 2.5 * np.median(of_known.epistemic)


def test_it_tells_classes_apart():
    rng = np.random.default_rng(6)
    formulas, unseen = formulas_of(rng, 200), formulas_of(rng, 200)
    threshold = np.median(law(formulas))
    network = tiny(task="classification").fit(formulas, law(formulas) > threshold)
    prediction = network.predict(unseen)
    assert roc_auc_score(law(unseen) > threshold, prediction.mean) > 0.9
    assert ((prediction.mean >= 0) & (prediction.mean <= 1)).all()
    assert prediction.std == pytest.approx(np.sqrt(prediction.mean * (1 - prediction.mean)))


def test_the_first_members_of_a_larger_ensemble_are_those_of_a_smaller_one_and_are_taken_up(tmp_path):
    formulas = formulas_of(np.random.default_rng(7), 40)
    kept = str(tmp_path / "kept")
    tiny(n_members=1, epochs=4, checkpoints=kept).fit(formulas, law(formulas))
    (first,) = (tmp_path / "kept").iterdir()
    written = first.stat().st_mtime_ns
    resumed = tiny(n_members=2, epochs=4, checkpoints=kept).fit(formulas, law(formulas))
    afresh = tiny(n_members=2, epochs=4).fit(formulas, law(formulas))
    assert np.array_equal(resumed.predict(formulas).mean, afresh.predict(formulas).mean)
    assert first.stat().st_mtime_ns == written
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_checkpoint_of_other_data_is_not_taken_up(tmp_path):
    formulas = formulas_of(np.random.default_rng(8), 40)
    target = law(formulas)
    for y in (target, target + 0.1):
        tiny(n_members=1, epochs=2, checkpoints=str(tmp_path)).fit(formulas, y)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_checkpoint_that_was_cut_short_is_made_again(tmp_path):
    formulas = formulas_of(np.random.default_rng(8), 40)
    options = {"n_members": 1, "epochs": 2, "checkpoints": str(tmp_path)}
    first = tiny(**options).fit(formulas, law(formulas)).predict(formulas).mean
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert np.array_equal(tiny(**options).fit(formulas, law(formulas)).predict(formulas).mean, first)
    assert file.read_bytes() == whole


def test_a_folder_of_checkpoints_that_cannot_be_made_is_named_before_training(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(CompositionNetwork, "_member", None)
    for place in ("taken", "taken/within"):
        with pytest.raises(UserError, match=f"option checkpoints: cannot make the folder .*{place} "):
            tiny(checkpoints=str(tmp_path / place)).fit(["NaCl", "KCl"], [0.0, 1.0])


def test_a_network_kept_on_a_machine_with_a_gpu_predicts_on_one_without(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    fitted.save(tmp_path)
    document = json.loads((tmp_path / "surrogate.json").read_text())
    document["options"]["device"] = "cuda"
    (tmp_path / "surrogate.json").write_text(json.dumps(document))
    formulas = ["NaCl", "MgO"]
    assert np.array_equal(load_surrogate(tmp_path).predict(formulas).mean, fitted.predict(formulas).mean)


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("composition_network", "torch", "composition_network needs torch: pip install"),
        ("crystal_graph", "torch_geometric", "crystal_graph needs torch_geometric: pip install"),
    ],
    ids=["torch", "torch_geometric"],
)
def test_a_package_that_is_not_installed_is_named(name, missing, message, monkeypatch):
    monkeypatch.setattr(network_surrogate, "find_spec", lambda package: None if package == missing else "there")
    X = {"compositions": ["NaCl", "KCl"], "crystals": [Crystal(4 * np.eye(3), np.zeros((1, 3)), np.array([11]))] * 2}
    surrogate = surrogate_class(name)()
    with pytest.raises(UserError, match=message):
        surrogate.fit(X[surrogate.takes], [0.0, 1.0])


def test_targets_too_large_for_numbers_are_refused():
    with pytest.raises(UserError, match=r"a target of 3e\+300 is too large"):
        tiny().fit(["NaCl", "KCl", "LiF"], [1e300, 2e300, -3e300])


def test_the_smallest_trace_of_an_element_gives_a_prediction(fitted):
    smaller, small = fitted.predict(["NaCl1e60", "NaCl1e30"]).mean
    assert smaller == pytest.approx(small, abs=1e-5)


def test_statistics_take_little_more_memory_than_they_fill():
    inputs = as_inputs("compositions", ["LiFePO4", "Fe2O3", "LiNaKMgCaTiFeAlOSFCl"] * 8000)
    tracemalloc.start()
    found = composition_statistics(inputs, element_properties())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * found.nbytes
    np.testing.assert_array_equal(found[3:6], found[-3:])


def test_attention_is_that_of_torch():
    inputs = as_inputs("compositions", ["NaCl", "CaTiO3", "Fe2O3", "LiFePO4", "Cu"])
    rows = CompositionRows(inputs, element_properties())
    batch = rows.batch(np.arange(5), torch.device("cpu"))
    torch.manual_seed(0)
    layer, elements = ElementAttention(8, 2), torch.randn(2 + 3 + 2 + 4 + 1, 8)
    found = []
    start = 0
    inward = layer.inward(layer.norm(elements))
    for n_elements, n_rows in batch.blocks:
        for _ in range(n_rows):
            here = slice(start, start + n_elements)
            query, key, value = inward[here].view(n_elements, 3, 2, 4).permute(1, 2, 0, 3)
            bias = batch.logarithms[here].expand(2, n_elements, n_elements)
            message = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
            found.append(message.permute(1, 0, 2).reshape(n_elements, 8))
            start += n_elements
    assert torch.allclose(layer(elements, batch), layer.outward(torch.cat(found)), atol=1e-5)


def test_the_statistics_are_those_of_magpie():
    formulas = ["Fe2O3", "LiFePO4", "CsCl"]
    featurizer = CompositionFeaturizer("magpie")
    of = dict(zip(featurizer.feature_names, featurizer.transform(formulas).T, strict=True))
    raw = magpie_table("mean").values[1:]
    found = composition_statistics(as_inputs("compositions", formulas), element_properties())
    n = element_properties().shape[1]
    place = magpie_table("mean").properties.index("Electronegativity")
    centre, spread = raw[:, place].mean(), raw[:, place].std()
    for part, statistic in enumerate(("mean", "avg_dev", "maximum", "minimum", "range")):
        expected = of[f"MagpieData {statistic} Electronegativity"]
        shift = centre if statistic in {"mean", "maximum", "minimum"} else 0.0
        assert found[:, part * n + place] == pytest.approx((expected - shift) / spread, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10, "n_heads": 4}, r"width must be a multiple of n_heads \(4\), got 10"),
        ({"n_members": 0}, "n_members must be an integer >= 1, got 0"),
        ({"validation_part": 0.9}, "validation_part must be a number >= 0 and <= 0.5, got 0.9"),
        ({"device": "gpu"}, "device must be one of auto, cpu, cuda, got 'gpu'"),
        ({"dropout": -1}, "dropout must be a number >= 0"),
        ({"task": "ranking"}, "task must be one of regression, classification"),
        ({"checkpoints": 3}, "checkpoints must be the name of a folder, got 3"),
    ],
)
def test_an_option_out_of_bounds_is_named(options, message):
    with pytest.raises(UserError, match=message):
        CompositionNetwork(**options)


def test_what_is_no_formula_is_named_with_its_row(fitted):
    with pytest.raises(UserError, match="row 1 is no composition"):
        tiny().fit(["NaCl", "Qq2O", "MgO"], [0.0, 1.0, 2.0])
    with pytest.raises(UserError, match="row 0 is no composition"):
        fitted.predict(["Zz"])


def test_torch_is_not_loaded_before_it_is_needed():
    code = "import sys, matscout.models.networks.composition_network; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
