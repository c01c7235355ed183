"""The commands as a user types them, in processes of their own where it matters."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from pymatgen.core import Structure

from matscout.cli import main
from matscout.workflows.enumeration import get_prototype

COMMAND = [sys.executable, "-m", "matscout"]


def matscout(*arguments, cwd, env=None, timeout=120):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"MATSCOUT_DATA": ""} | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_text):
    """A folder in which the tiny campaign was run."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "tiny.yaml").write_text(tiny_text)
    run = matscout("run", "tiny.yaml", cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder, run


@pytest.fixture
def refused(capfd, monkeypatch):
    """Run a command in this process: one sentence on standard error, exit code 2, no traceback."""

    def run(*arguments, cwd):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["matscout", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        _, message = capfd.readouterr()
        assert ended.value.code == 2
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        return message

    return run


def test_run_ends_with_the_table_the_comparison_and_the_files(done):
    _, run = done
    assert re.search(r"found \d+ within 25 meV/atom of the hull with 16 calculations", run.stdout)
    assert "decomposes to" in run.stdout
    assert "results in tiny/results.parquet" in run.stdout
    assert "elements against the Materials Project: mean error" in run.stdout
    assert "\x1b" not in run.stdout  # no colours and no bar in a log file


def test_the_files_hold_what_the_table_shows(done):
    folder, _ = done
    frame = pd.read_parquet(folder / "tiny" / "results.parquet")
    listed = json.loads(matscout("results", "--json", cwd=folder).stdout)
    assert frame["candidate_id"].tolist() == [x["candidate_id"] for x in listed]
    assert frame["e_above_hull"].is_monotonic_increasing
    cifs = sorted((folder / "tiny" / "cif").glob("*.cif"))
    assert len(cifs) == frame["found"].sum() > 0
    for cif in cifs:
        assert Structure.from_file(cif).composition.reduced_formula == cif.name.split("_")[0]


def test_status_counts_what_is_there(done):
    folder, _ = done
    (row,) = json.loads(matscout("status", "--json", cwd=folder).stdout)
    assert (row["state"], row["n_candidates"], row["n_calculated"], row["n_running"]) == ("finished", 24, 16, 0)
    assert "finished" in matscout("status", cwd=folder).stdout


def test_results_come_as_table_csv_parquet_and_cif(done, tmp_path):
    folder, _ = done
    csv = matscout("results", "tiny.yaml", "--csv", cwd=folder)
    assert len(csv.stdout.splitlines()) == len(json.loads(matscout("results", "--json", cwd=folder).stdout)) + 1
    written = matscout("results", "--parquet", tmp_path / "x.parquet", "--cif", tmp_path / "cif", cwd=folder)
    assert written.returncode == 0
    assert set(pd.read_csv(io.StringIO(csv.stdout))["hull_protocols"]) == {"chgnet-static"}
    assert len(pd.read_parquet(tmp_path / "x.parquet")) == len(csv.stdout.splitlines()) - 1
    assert list((tmp_path / "cif").glob("*.cif"))
    table = matscout("results", "--limit", "2", cwd=folder).stdout
    assert table.splitlines()[-1].endswith(": --limit 16") or "more: --limit" in table


def test_explain_tells_the_whole_story(done):
    folder, _ = done
    best = json.loads(matscout("results", "--json", cwd=folder).stdout)[0]
    for name in (best["formula"], best["candidate_id"][:10]):
        story = matscout("explain", name, cwd=folder).stdout
        for part in ("prototype", "features", "chosen", "calculation", "hull", "competitors"):
            assert part in story
    content = json.loads(matscout("explain", best["candidate_id"], "--json", cwd=folder).stdout)
    assert content["label"]["e_above_hull"] == best["e_above_hull"]
    assert content["calculation"]["outcome"] == "completed"


def test_explain_of_one_never_calculated_says_what_is_expected_of_it(done):
    folder, _ = done
    calculated = {x["formula"] for x in json.loads(matscout("results", "--json", cwd=folder).stdout)}
    left = next(
        f"{a}{b}{x}3"
        for a in ("Na", "K", "Rb", "Cs")
        for b in ("Mg", "Ca", "Zn")
        for x in ("F", "Cl")
        if f"{a}{b}{x}3" not in calculated
    )
    story = matscout("explain", left, cwd=folder).stdout
    assert "never" in story
    assert re.search(r"prediction +[+-]0\.\d+ ± 0\.\d+ eV/atom from the hull as it stands", story)


def test_failures_are_listed_with_causes(done):
    folder, _ = done
    rows = json.loads(matscout("failures", "--json", cwd=folder).stdout)
    assert all(row["cause"] for row in rows)


def test_validate_counts_and_calculates_nothing(tiny_file):
    answer = matscout("validate", tiny_file.name, cwd=tiny_file.parent)
    assert answer.returncode == 0, answer.stderr
    assert "24 candidates" in answer.stdout
    assert "9 elements and 14 charge-balanced binaries" in answer.stdout
    assert "about" in answer.stdout
    assert [path.name for path in tiny_file.parent.iterdir()] == ["tiny.yaml"]
    content = json.loads(matscout("validate", "--json", cwd=tiny_file.parent).stdout)
    assert content["n_candidates"] == 24
    assert len(content["reference_calculations"]) == content["references"]["calculations"]


def test_the_schema_is_json():
    import jsonschema

    schema = json.loads(matscout("validate", "--schema", cwd="/").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


def test_init_writes_a_file_that_validates(tmp_path, refused):
    assert matscout("init", "mine", cwd=tmp_path).returncode == 0
    answer = matscout("validate", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "is there already" in refused("init", "mine", cwd=tmp_path)
    assert "cannot be a campaign's name" in refused("init", "my campaign", cwd=tmp_path)


def test_prototypes_and_protocols_are_listed():
    rows = json.loads(matscout("prototypes", "--search", "perovskite", "--json", cwd="/").stdout)
    assert "cubic-perovskite" in {row["name"] for row in rows}
    names = {row["name"] for row in json.loads(matscout("protocols", "--json", cwd="/").stdout)}
    assert {"chgnet-relax", "chgnet-static"} <= names
    assert "no prototype matches" in matscout("prototypes", "--search", "zzz", cwd="/").stdout


def test_prototypes_are_found_by_space_group_and_number_of_roles():
    found = json.loads(matscout("prototypes", "--space-group", "225", "--roles", "4", "--json", cwd="/").stdout)
    assert {row["space_group"] for row in found} == {225}
    assert "elpasolite" in {row["name"] for row in found}
    empty = matscout("prototypes", "--space-group", "3", "--roles", "5", cwd="/")
    assert empty.stdout == "no prototype has the space group 3 and has 5 roles\n"


def test_one_prototype_is_shown_in_full(tmp_path, refused):
    shown = matscout("prototypes", "elpasolite", cwd="/").stdout
    assert "225 Fm-3m" in shown
    assert "the same crystal with its roles in the order A B' B X" in shown
    get_prototype("rutile").structure(["Ti", "O"], 10.5).to(filename=str(tmp_path / "mine.cif"))
    own = json.loads(matscout("prototypes", "mine.cif", "--json", cwd=tmp_path).stdout)
    assert (own["roles"], own["space_group"], own["wyckoff_positions"]) == (["Ti", "O"], 136, [["2a"], ["4f"]])
    assert 'unknown prototype "elpasolit". Nearest: elpasolite.' in refused("prototypes", "elpasolit", cwd=tmp_path)
    assert "no file yours.cif here" in refused("prototypes", "yours.cif", cwd=tmp_path)


def test_validate_counts_each_prototype_before_anything_is_built(tmp_path, tiny_text):
    path = tmp_path / "two.yaml"
    path.write_text(tiny_text.replace("[cubic-perovskite]", "[cubic-perovskite, tetragonal-perovskite]"))
    answer = matscout("validate", cwd=tmp_path)
    assert "48 decorations of cubic-perovskite, tetragonal-perovskite" in answer.stdout, answer.stderr
    assert "cubic-perovskite 24, tetragonal-perovskite 24" in answer.stdout
    counts = json.loads(matscout("validate", "--json", cwd=tmp_path).stdout)["decorations"]
    assert counts == {"cubic-perovskite": 24, "tetragonal-perovskite": 24}


def test_help_waits_for_no_heavy_package():
    heavy = ["numpy", "pandas", "pydantic", "pymatgen", "scipy", "sklearn", "torch"]
    ask = f"import sys, matscout.cli as c\ntry: c.main()\nfinally: print([x for x in {heavy} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask, "--help"], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[Na, K, Rb, Cs]", "[Na, Xx]"), 'unknown element "Xx" in space.elements.A[1]'),
        (("[cubic-perovskite]", "[cubic-perovskit]"), "Nearest: cubic-perovskite."),
        (("calculations: 16", "calculations: -1"), "budget.calculations is -1"),
        (("chgnet-static", "chgnet-statc"), "Nearest: chgnet-static."),
        (("seed: 3", "sead: 3"), 'unknown key "sead". Nearest: seed.'),
        (("[F, Cl]", "[Fe, Ni]\n  filters: [charge-neutrality]"), "charge-neutrality removed 24 of 24"),
        (("[F, Cl]", "[]"), "X"),
        (("[F, Cl]", "[F, F]"), "F"),
        (("    X: [F, Cl]\n", ""), "X"),
        (("seed: 3", "seed: [3"), "not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tiny_file, change, message, refused):
    text = tiny_file.read_text()
    assert change[0] in text
    tiny_file.write_text(text.replace(*change))
    for command in ("validate", "run"):
        assert message in refused(command, "tiny.yaml", cwd=tiny_file.parent)
    assert sorted(path.name for path in tiny_file.parent.iterdir() if path.name != "matscout-store") == ["tiny.yaml"]


def test_a_file_that_is_not_there_is_one_sentence(tiny_file, refused):
    assert "Did you mean tiny.yaml?" in refused("run", "tinny.yaml", cwd=tiny_file.parent)
    assert "Did you mean tiny.yaml?" in refused("status", "tinny.yaml", cwd=tiny_file.parent)


def test_a_folder_without_a_campaign_says_how_to_write_one(tmp_path, refused):
    assert "matscout init NAME" in refused("run", cwd=tmp_path)
    (tmp_path / "mkdocs.yml").write_text("site_name: x\n")
    assert "matscout init NAME" in refused("run", cwd=tmp_path)


def test_a_store_that_is_not_there_is_one_sentence(tmp_path, refused):
    assert "nowhere" in refused("status", "--store", "nowhere", cwd=tmp_path)


def test_a_leased_store_names_its_holder(tiny_file, refused):
    from matscout.db import connect

    with connect(tiny_file.parent / "matscout-store") as store, store.lease("matscout run other"):
        message = refused("run", "tiny.yaml", cwd=tiny_file.parent)
    assert "matscout run other" in message
    assert str(os.getpid()) in message


REFERENCES = """\
references:
  source: file
  path: entries.json
  recompute: false
  correction: chgnet-as-mp2020
"""


def test_references_that_are_not_there_are_named(tiny_file, refused):
    text = tiny_file.read_text()
    head, tail = text.split("references:")[0], "budget:" + text.split("budget:")[1]
    tiny_file.write_text(head + REFERENCES + tail)
    message = refused("run", "tiny.yaml", cwd=tiny_file.parent)
    assert "entries.json" in message
    assert "--references PATH" in message
    assert "MATSCOUT_DATA" in message


def test_a_reference_file_without_an_element_names_it(tiny_file, refused):
    from pymatgen.entries.computed_entries import ComputedEntry

    text = tiny_file.read_text()
    head, tail = text.split("references:")[0], "budget:" + text.split("budget:")[1]
    tiny_file.write_text(head + REFERENCES + tail)
    entries = [ComputedEntry(e, -1.0, entry_id=e).as_dict() for e in ("Na", "K", "Rb", "Cs", "Mg", "Ca", "F", "Cl")]
    (tiny_file.parent / "entries.json").write_text(json.dumps(entries))
    assert "no entry of the element Zn" in refused("run", "tiny.yaml", cwd=tiny_file.parent)
    (tiny_file.parent / "entries.json").write_text("{}")
    assert "entries.json" in refused("run", "tiny.yaml", cwd=tiny_file.parent)
    (tiny_file.parent / "other.json").write_text("nonsense")
    assert "other.json" in refused("run", "tiny.yaml", "--references", "other.json", cwd=tiny_file.parent)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_ctrl_c_stops_cleanly_and_run_goes_on(tiny_file, done):
    folder = tiny_file.parent
    with subprocess.Popen(
        [*COMMAND, "run", "tiny.yaml"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(
            lambda: (
                (folder / "matscout-store" / "launches").is_dir()
                and any((folder / "matscout-store" / "launches").glob("*/1"))
            )
        )
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after the calculations that are running" in err
    assert "Go on with: matscout run tiny.yaml" in out
    assert "Traceback" not in err
    assert matscout("run", "tiny.yaml", cwd=folder).returncode == 0
    same = [json.loads(matscout("results", "--json", cwd=f).stdout) for f in (folder, done[0])]
    assert same[0] == same[1]


def test_a_reader_sees_a_run_while_it_is_running(tiny_file):
    folder = tiny_file.parent
    with subprocess.Popen([*COMMAND, "run", "tiny.yaml"], cwd=folder, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: matscout("status", "--json", cwd=folder).stdout.startswith("["))
        wait_for(lambda: '"running"' in matscout("status", "--json", cwd=folder).stdout or process.poll() is not None)
        assert process.wait(60) == 0
