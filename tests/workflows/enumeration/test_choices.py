from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element, Species

from matscout.errors import UserError
from matscout.workflows.enumeration.choices import Ion, parse_choice, read_choices

IONS = [(e.symbol, s) for e in Element if e.symbol not in {"D", "T"} for s in e.oxidation_states if s]


@given(st.sampled_from(IONS))
def test_ions_are_read_as_pymatgen_writes_them(ion):
    symbol, state = ion
    written = str(Species(symbol, state))
    assert parse_choice(written) == Ion(symbol, state)
    sign = "+" if state > 0 else "-"
    assert parse_choice(f"{symbol}{sign}{abs(state)}") == Ion(symbol, state)


def test_a_charge_of_one_needs_no_number():
    assert parse_choice("Na+") == parse_choice("Na1+") == Ion("Na", 1)


def test_a_list_gives_each_element_once_with_all_its_states():
    choices = read_choices(["Fe3+", "Al", "Fe2+"], "role B")
    assert choices.numbers == (26, 13)
    assert choices.states == {"Fe": (2, 3)}
    assert choices.column.tolist() == [[26], [13]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Fe9+", "role B: Fe9+ is not an ion of Fe, which is known with -2, -1, +1, +2"),
        ("He2+", "role B: He2+ is not an ion of He, which is known with no oxidation state"),
        ("Fex3+", 'role B: unknown element "Fex3+". Nearest: '),
        ("Xx3+", 'role B: unknown element "Xx" of the ion Xx3+. Nearest: Xe.'),
        ("Fe0+", "role B: Fe0+ is not an ion of Fe"),
        ("CO", 'role B: unknown element "CO". Nearest: Co.'),
        ("HF", 'role B: unknown element "HF". Nearest: Hf.'),
        ("", 'role B: unknown element "".'),
        (" Fe", 'role B: unknown element " Fe". Nearest: Fe.'),
        (["Fe", "Fe2+"], "role B: Fe is listed both without a charge and with one"),
        (["Fe2+", "Fe+2"], "role B: Fe+2 is listed twice"),
        ([None], "role B: None is not an element"),
        ({"Fe": 2}, "role B: a list of element symbols is expected"),
        ([True], "role B: True is not an element. YAML reads"),
    ],
)
def test_what_is_no_choice_is_named(given, message):
    with pytest.raises(UserError) as error:
        read_choices(given, "role B")
    assert message in str(error.value)


@given(st.text(max_size=8))
def test_any_text_is_a_choice_or_refused_in_one_sentence(text):
    try:
        parse_choice(text)
    except UserError as error:
        assert str(error)  # noqa: PT017  most texts are refused, some are elements
