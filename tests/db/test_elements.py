"""The table of elements."""

from pymatgen.core import Element

from matscout.db._elements import atomic_numbers, symbols


def test_symbols_are_pymatgens():
    assert symbols() == ("", *(Element.from_Z(number).symbol for number in range(1, 119)))
    assert atomic_numbers()["Og"] == 118
