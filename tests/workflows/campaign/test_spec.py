import json

import pytest
import yaml
from pydantic import ValidationError
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.errors import UserError
from matscout.workflows import CampaignSpec
from matscout.workflows.campaign.files import read_spec
from matscout.workflows.campaign.stages import enumerate_space
from matscout.workflows.enumeration import get_prototype, prototype_from_structure

GOOD = """\
name: fluorides
seed: 1
space:
  prototypes: [cubic-perovskite]
  elements:
    A: [K, Rb]
    B: [Mg, Zn]
    X: [F]
  filters:
    - charge-neutrality
    - goldschmidt: {minimum: 0.8, maximum: 1.1}
budget:
  calculations: 4
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fluorides.yaml"
    path.write_text(GOOD)
    return path


def test_a_file_and_python_describe_the_same_campaign(file):
    from_python = CampaignSpec(
        name="fluorides",
        seed=1,
        space={
            "prototypes": ["cubic-perovskite"],
            "elements": {"A": ["K", "Rb"], "B": ["Mg", "Zn"], "X": ["F"]},
            "filters": ["charge-neutrality", {"goldschmidt": {"minimum": 0.8, "maximum": 1.1}}],
        },
        budget={"calculations": 4},
    )
    assert read_spec(file) == from_python
    assert read_spec(file).id == from_python.id


def test_what_a_store_keeps_reads_back_equal(file):
    spec = read_spec(file)
    assert CampaignSpec.model_validate(json.loads(spec.model_dump_json())) == spec


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("seed: 1", "sed: 1", 'line 2: unknown key "sed". Nearest: seed.'),
        ("  calculations: 4", "  calculatons: 4", 'unknown key "calculatons" in budget. Nearest: calculations.'),
        ("[K, Rb]", "[K, Rbb]", 'line 6: unknown element "Rbb" in space.elements.A[1]. Nearest: Rb.'),
        ("[K, Rb]", "[K, No]", "line 6: space.elements.A[1]: False is not an element. YAML reads No, Yes, On and Off"),
        (
            "cubic-perovskite",
            "cubic-perovskit",
            'line 4: unknown prototype "cubic-perovskit" in space.prototypes[0]. Nea',
        ),
        ("budget:", "protocol: chgnet\nbudget:", 'line 12: unknown protocol "chgnet". Nearest: chgnet-'),
        (
            "charge-neutrality",
            "charge-neutral",
            'line 10: unknown filter "charge-neutral" in space.filters[0]. Nearest: ',
        ),
        ("minimum: 0.8", "minimun: 0.8", "line 11"),
        ("calculations: 4", "calculations: -5", "line 13: budget.calculations is -5: input should be greater than 0"),
        ("calculations: 4", "calculations: many", "line 13: budget.calculations is 'many'"),
        ("name: fluorides", "name: ../../etc", "line 1: name is '../../etc': letters, digits"),
        ("name: fluorides\n", "", "line 1: name is missing"),
        ("budget:", "surrogate: {name: xgbost}\nbudget:", 'unknown surrogate "xgbost" in surrogate.name. Nearest: xgb'),
        ("budget:", "surrogate: {features: [magpi]}\nbudget:", 'unknown feature set "magpi" in surrogate.features[0]'),
        (
            "budget:",
            "acquisition: {name: probabilty}\nbudget:",
            'unknown acquisition "probabilty" in acquisition.name.',
        ),
        ("budget:", "references: {source: computed, pth: x}\nbudget:", 'unknown key "pth" in references.'),
        (
            "budget:",
            "references: {source: file, path: x, windw: 1}\nbudget:",
            '"windw" in references. Nearest: window.',
        ),
        (
            "budget:",
            "references: {source: fil, path: x}\nbudget:",
            'unknown source "fil" in references. Nearest: file.',
        ),
        ("seed: 1", "seed: 1\nseed: 2", 'line 3: the key "seed" stands here a second time'),
        ("calculations: 4", "calculations: 1e30", "budget.calculations is 1e+30"),
        ("calculations: 4", "calculations: true", "budget.calculations is True"),
        ("budget:", "references: {source: file, path: x, recompute: false}\nbudget:", "may not meet on one hull"),
        ("[cubic-perovskite]", "[]", "space.prototypes is []"),
        ("[cubic-perovskite]", "[{fil: my.cif}]", 'line 4: unknown key "fil" in space.prototypes[0]. Nearest: file.'),
        ("[cubic-perovskite]", "[{name: mine}]", "space.prototypes[0]: a prototype of your own needs the key file"),
        ("[cubic-perovskite]", "[{file: no.cif}]", "no.cif"),
        ("[cubic-perovskite]", "[{file: my.cif, symprec: -1}]", "symprec is -1"),
        ("[cubic-perovskite]", "[3]", "space.prototypes[0]"),
        ("[cubic-perovskite]", "[my.cif]", "A crystal of your own is written so: {file: my.cif}"),
        ("A: [K, Rb]", "A: [K, K]", "line 3: space: role A: K is listed twice"),
        ("    A: [K, Rb]\n", "", "line 3: space: no elements for the role A of cubic-perovskite"),
        ("charge-neutrality", "known-compounds: {file: none.json}", "line 10: space.filters[0]: no file"),
        ("[K, Rb]", "[K+, Rb9+]", "line 6: space.elements.A[1]: Rb9+ is not an ion of Rb, which is known with"),
        ("[K, Rb]", "[K, RB]", 'line 6: unknown element "RB" in space.elements.A[1]. Nearest: Rb.'),
        ("  filters:", "  max_cells: 0\n  filters:", "space.max_cells is 0"),
    ],
)
def test_a_mistake_is_named_with_line_place_and_what_would_be_right(file, before, after, message):
    assert before in GOOD
    file.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(UserError) as error:
        read_spec(file)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{file}, line ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [x", "line 1: not valid YAML"),
        ("name: x\n\tseed: 1", "line 2: not valid YAML"),
        ("- a\n- b", "holds no campaign"),
        ("", "holds no campaign"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML: could not determine a constructor"),
    ],
)
def test_what_is_no_campaign_is_refused(file, text, message):
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_spec(file)


def test_bytes_that_are_no_text_are_refused(file):
    file.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(UserError, match="not UTF-8"):
        read_spec(file)


def test_a_missing_file_names_the_one_that_is_there(file):
    with pytest.raises(UserError, match=r"no campaign file .*fluorids\.yaml here\. Did you mean .*fluorides\.yaml\?"):
        read_spec(file.with_name("fluorids.yaml"))


def test_a_folder_is_no_campaign_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read as a campaign file"):
        read_spec(tmp_path)


def changed(file, **changes):
    content = yaml.safe_load(GOOD)
    for key, value in changes.items():
        section, name = key.split("__") if "__" in key else (None, key)
        (content.setdefault(section, {}) if section else content)[name] = value
    return CampaignSpec.model_validate(content)


def test_a_larger_budget_or_another_stop_rule_is_the_same_campaign(file):
    spec = read_spec(file)
    assert changed(file, budget__calculations=9).id == spec.id
    assert changed(file, stop__barren_rounds=2).id == spec.id
    assert changed(file, store="elsewhere").id == spec.id


def test_anything_that_changes_a_choice_is_another_campaign(file):
    ids = {
        read_spec(file).id,
        changed(file, seed=2).id,
        changed(file, protocol="chgnet-static").id,
        changed(file, budget__batch=3).id,
        changed(file, acquisition__threshold=0.05).id,
        changed(file, surrogate__name="extra_trees").id,
    }
    assert len(ids) == 6


def test_the_schema_describes_every_field():
    schema = CampaignSpec.model_json_schema()
    assert {"name", "seed", "space", "protocol", "references", "surrogate", "acquisition", "budget", "stop"} <= set(
        schema["properties"]
    )
    assert all(
        "description" in field
        for part in schema["$defs"].values()
        for field in part["properties"].values()
        if "const" not in field
    )


def test_a_campaign_cannot_be_changed_once_made(file):
    with pytest.raises(ValidationError, match="frozen"):
        read_spec(file).seed = 3


def write_cif(path):
    structure = get_prototype("rock-salt").structure(["Na", "Cl"], 22.4)
    structure.to(filename=str(path))


def test_a_crystal_of_the_users_own_stands_in_the_campaign_itself(file, tmp_path):
    write_cif(tmp_path / "salt.cif")
    text = GOOD.replace("[cubic-perovskite]", "[{file: salt.cif, name: my-salt}]")
    file.write_text(text[: text.index("    A:")] + "    Na: [K, Rb]\n    Cl: [F]\nbudget:\n  calculations: 2\n")
    spec = read_spec(file)
    assert spec.space.prototype_names == ("my-salt",)
    assert spec.space.candidate_space().table().formulas == ["KF", "RbF"]
    (tmp_path / "salt.cif").unlink()  # the campaign holds the crystal, not the path
    assert CampaignSpec.model_validate(json.loads(spec.model_dump_json())) == spec


def test_another_crystal_under_the_same_name_is_another_campaign(tmp_path):
    elements = {"Na": ["K"], "Cl": ["F"]}
    ids = set()
    for distance in (22.4, 30.0):
        structure = get_prototype("rock-salt").structure(["Na", "Cl"], distance)
        prototype = prototype_from_structure(structure, "mine")
        space = {"prototypes": [prototype], "elements": elements}
        ids.add(CampaignSpec(name="one", space=space, budget={"calculations": 1}).id)
    assert len(ids) == 2


def test_ions_mixtures_and_repeated_elements_are_described(file):
    file.write_text(
        GOOD.replace("[K, Rb]", "[La3+, Ca]").replace("[Mg, Zn]", "[Ta, Ti]").replace("X: [F]", "X: [O, O2N]")
    )
    table = read_spec(file).space.candidate_space().table()
    assert {"CaTiO3", "LaTiO2N"} <= {formula.replace("LaTiNO2", "LaTiO2N") for formula in table.formulas}
    assert table.oxidation_states == {"A": {"La": (3,)}}


def test_new_settings_at_their_defaults_leave_the_id_of_a_campaign(file):
    before = read_spec(file).id
    file.write_text(GOOD.replace("  filters:", "  repeat_elements: false\n  max_cells: 1\n  filters:"))
    assert read_spec(file).id == before
    file.write_text(GOOD.replace("  filters:", "  repeat_elements: true\n  filters:"))
    assert read_spec(file).id != before


@pytest.mark.parametrize("name", ["cubic-perovskite", "rutile", "all", "AB3C_*"])
def test_a_crystal_of_the_users_own_takes_no_name_of_the_library(name, file, tmp_path):
    write_cif(tmp_path / "salt.cif")
    file.write_text(GOOD.replace("[cubic-perovskite]", f"[{{file: salt.cif, name: '{name}'}}]"))
    with pytest.raises(UserError, match="already means something in the prototype library"):
        read_spec(file)


def test_one_file_named_twice_is_one_prototype(file, tmp_path):
    write_cif(tmp_path / "salt.cif")
    text = GOOD[: GOOD.index("    A:")].replace("[cubic-perovskite]", "[{file: salt.cif}, {file: ./salt.cif}]")
    file.write_text(text + "    Na: [K, Rb]\n    Cl: [F]\nbudget:\n  calculations: 2\n")
    assert read_spec(file).space.candidate_space().counts == {"salt": 2}


def known_file(path, formulas):
    path.write_text(json.dumps([ComputedEntry(formula, 0.0).as_dict() for formula in formulas]))


def test_the_content_of_a_filters_file_is_part_of_the_campaign_and_its_place_is_not(file, tmp_path):
    known_file(tmp_path / "known.json", ["KMgF3"])
    text = GOOD.replace("    - charge-neutrality\n", "    - known-compounds: {file: known.json}\n")
    file.write_text(text)
    spec = read_spec(file)
    assert "KMgF3" not in enumerate_space(spec).table.formulas
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "known.json").rename(tmp_path / "elsewhere" / "known.json")
    file.write_text(text.replace("known.json", "elsewhere/known.json"))
    assert read_spec(file).id == spec.id
    known_file(tmp_path / "elsewhere" / "known.json", ["KMgF3", "RbMgF3"])
    changed = read_spec(file)
    assert changed.id != spec.id
    assert "RbMgF3" not in enumerate_space(changed).table.formulas


def test_changed_settings_of_the_protocol_are_another_campaign(file):
    plain = read_spec(file)
    file.write_text(GOOD + "protocol: gpaw-pbe\noverrides: {smearing: {width_eV: 0.1}, cutoff_eV: 700}\n")
    nested = read_spec(file)
    file.write_text(GOOD + "protocol: gpaw-pbe\noverrides: {smearing.width_eV: 0.1}\n")
    assert nested == read_spec(file)
    assert nested.overrides == {"smearing.width_eV": 0.1}
    assert nested.full_protocol().settings["smearing"]["width_eV"] == 0.1
    file.write_text(GOOD + "protocol: gpaw-pbe\n")
    assert len({plain.id, nested.id, read_spec(file).id}) == 3
    assert CampaignSpec.model_validate(json.loads(nested.model_dump_json())) == nested


def test_a_setting_that_the_protocol_does_not_have_is_named_with_its_line(file):
    file.write_text(GOOD + "protocol: gpaw-pbe\noverrides: {cutof_eV: 400}\n")
    with pytest.raises(UserError, match=r'line 15: overrides: .*no setting "cutof_eV"\. Nearest: cutoff_eV'):
        read_spec(file)
