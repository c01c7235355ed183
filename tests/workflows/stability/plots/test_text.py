from __future__ import annotations

import pytest

from matscout.workflows.stability.plots import text


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        ("Li0.5Fe2(PO4)3", "Li<sub>0.5</sub>Fe<sub>2</sub>(PO<sub>4</sub>)<sub>3</sub>"),
        ("NaCl", "NaCl"),
        ("<b>2", "&lt;b&gt;2"),
    ],
)
def test_amounts_are_set_below_the_line(formula, written):
    assert text.subscripts(formula) == written


def test_amounts_of_formula_units_stay_on_the_line():
    assert text.reaction("4 FeO + O2 -> 2 Fe2O3") == "4 FeO + O<sub>2</sub> → 2 Fe<sub>2</sub>O<sub>3</sub>"


def test_a_long_reaction_is_broken():
    words = "Li8Fe2O9 -> " + " + ".join(f"{n} Li{n}Fe{n}O{n}" for n in range(2, 9))
    rows = text.reaction(words).split("<br>")
    assert len(rows) > 2
    assert max(text.width(row) for row in rows) <= 40
