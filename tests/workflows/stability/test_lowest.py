"""Columns of the lowest entries, beside what one system at a time gives."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from matscout.workflows.stability import Hull, lowest
from matscout.workflows.stability.blocks import Blocks
from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.lowest import Lowest, numbers_of, ranges

SYMBOLS = ("Ca", "K", "Li", "Mg", "Na")


@pytest.fixture
def many():
    """Entries in all systems of five elements, some compositions twice, a third of them above the elements."""
    rng = np.random.default_rng(3)
    amounts = rng.integers(1, 3, (400, 5)) * (rng.random((400, 5)) < 0.5)
    amounts = amounts[(amounts > 0).sum(axis=1) > 1]
    table = fraction_table((amounts.astype(float), SYMBOLS))
    energies = rng.normal(-0.2, 0.4, len(table))
    ids = [f"e{i}" for i in range(len(table))]
    blocks = Blocks()
    blocks.insert(blocks.unseen(ids, table, energies), ids, table, energies, [("not stated", "here")] * len(ids))
    return blocks, table, energies


def expected(table, energies, system):
    """Positions of the lowest entries below the plane of the elements, those inside a system."""
    outside = [i for i, symbol in enumerate(SYMBOLS) if symbol not in system]
    best = {}
    for i, row in enumerate(np.round(table.fractions, 9).tolist()):
        if not any(row[column] for column in outside) and energies[i] < 0:
            best[tuple(row)] = min(best.get(tuple(row), (np.inf, -1)), (energies[i], i))
    return {i for _, i in best.values()}


@pytest.mark.parametrize("key_elements", [9, 1])  # with 1 the subsystems are found one by one, as for ten elements
@pytest.mark.parametrize("at_once", [4_000_000, 1])  # with 1 every system is a part of its own
def test_the_lowest_entries_inside_each_system_compete_there(many, key_elements, at_once, monkeypatch):
    blocks, table, energies = many
    monkeypatch.setattr(lowest, "_KEY_ELEMENTS", key_elements)
    monkeypatch.setattr(lowest, "_NUMBERS_AT_ONCE", at_once)
    columns = Lowest(blocks, lambda _: 0.0)
    for size in range(2, 6):
        systems = list(combinations(SYMBOLS, size))
        parts = list(columns.collect(numbers_of(systems)))
        assert [part.first for part in parts] == [0, *(part.end for part in parts[:-1])]
        assert parts[-1].end == len(systems)
        for part in parts:
            for i in range(part.first, part.end):
                phases = part.sets.one(i - part.first)
                start = part.sets.starts[i - part.first]
                positions = part.positions[start : start + len(phases.energies)]
                own = [SYMBOLS.index(symbol) for symbol in systems[i]]
                assert phases.fractions[:size].tolist() == np.eye(size).tolist()
                assert positions[:size].tolist() == [-1] * size
                assert set(positions[size:].tolist()) == expected(table, energies, systems[i])
                assert phases.energies[size:] == pytest.approx(energies[positions[size:]])
                assert phases.fractions[size:] == pytest.approx(table.fractions[positions[size:]][:, own])
                n_elements = (phases.fractions[size:] > 0).sum(axis=1)
                assert (np.diff(n_elements) >= 0).all()


def test_tables_are_written_anew_once_most_of_their_rows_are_out_of_date(many, monkeypatch):
    _, table, energies = many
    monkeypatch.setattr(lowest, "_SMALLEST_WASTE", 0)
    grown = Hull((table.fractions[:1], SYMBOLS), energies[:1], ["e0"], formation_energies=True)
    written = []
    forget = Lowest.forget
    monkeypatch.setattr(Lowest, "forget", lambda self: (written.append(1), forget(self)))
    for i in range(1, len(table)):
        grown.add((table.fractions[i : i + 1], SYMBOLS), energies[i : i + 1], [f"e{i}"])
    whole = Hull((table.fractions, SYMBOLS), energies, list(grown.ids), formation_energies=True)
    assert 1 < len(written) < len(table) / 4
    assert (grown.own_e_above_hull() == whole.own_e_above_hull()).all()
    assert (grown.decomposition_energy() == whole.decomposition_energy()).all()


def test_ranges_lie_one_behind_another():
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert ranges(np.array([], dtype=int), np.array([], dtype=int)).tolist() == []
