from __future__ import annotations

import gzip
import json

import pytest

from matscout.errors import UserError
from matscout.workflows.stability import FormationEnthalpy, read_enthalpies


def test_the_public_file_is_per_formula_unit(enthalpies):
    """Li2O: -597.9 kJ/mol in the JANAF tables."""
    of = {enthalpy.formula: enthalpy for enthalpy in enthalpies}
    assert len(of) == 241
    assert of["Li2O"].energy == pytest.approx(-597.9 / 96.485, abs=0.01)
    assert of["Li2O"].energy_per_atom == pytest.approx(-597.9 / 96.485 / 3, abs=0.005)
    assert of["K2O2"].energy_per_atom == of["K2O2"].energy / 4
    assert of["Li2O"].uncertainty_per_atom == of["Li2O"].uncertainty / 3


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_keys_may_have_other_names_and_the_file_any(tmp_path, compress):
    path = tmp_path / "enthalpies"
    items = [{"formula": "MgO", "energy": -6.2}, {"formula": "CaO", "enthalpy": -6.6, "uncertainty": None}]
    path.write_bytes(compress(json.dumps(items).encode()))
    assert read_enthalpies(path) == [FormationEnthalpy("MgO", -6.2), FormationEnthalpy("CaO", -6.6)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "holds no list"),
        ("[]", "holds no list"),
        ("[3]", r"item 0 is no formation enthalpy: '3'"),
        ('[{"formula": "MgO"}]', "item 0 is no formation enthalpy"),
        ('[{"formula": "MgO", "energy": true}]', "item 0 is no formation enthalpy"),
        ('[{"formula": "MgO", "energy": -6.2}, {"formula": "Xx2", "energy": -1}]', "item 1: .*'Xx2'.*not a formula"),
        ('[{"formula": "MgO", "energy": NaN}]', "item 0: .*'MgO': energy nan"),
        ('[{"formula": "MgO", "energy": -1, "uncertainty": -1}]', r"uncertainty -1\.0"),
        ('[{"formula": "MgO", "energy": -601.6}]', r"-601\.6 eV per formula unit .* kJ/mol"),
        ("not json", "is not JSON"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_item(tmp_path, content, words):
    path = tmp_path / "exp.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as error:
        read_enthalpies(path)
    assert str(path) in str(error.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no file of formation enthalpies .*nowhere"):
        read_enthalpies(tmp_path / "nowhere")
    broken = tmp_path / "broken.json.gz"
    broken.write_bytes(gzip.compress(b"[]" * 1000)[:-9])
    with pytest.raises(UserError, match="damaged or cut short"):
        read_enthalpies(broken)
    with pytest.raises(UserError, match="cannot read"):
        read_enthalpies(tmp_path)
