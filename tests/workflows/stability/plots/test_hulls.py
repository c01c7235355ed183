"""What a plot of a hull shows, against the hull itself and against pymatgen."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pymatgen.core import Composition

from matscout.errors import UserError
from matscout.workflows.stability import Hull, open_hull, plot_hull

SYSTEMS = [("Li", "O"), ("Fe", "Li", "O"), ("Fe", "O", "P"), ("Fe", "Li", "O", "P")]
CLASSES = ("stable", "metastable", "unstable")


def drawn_lines(figure):
    """Pairs of ends of a figure's tie lines, as drawn between the gaps."""
    (trace,) = [
        trace
        for trace in figure.data
        if trace.mode == "lines" and trace.hoverinfo == "skip" and trace.line.color != "#222222"
    ]
    axes = "abc" if trace.type == "scatterternary" else "xyz"
    places = np.column_stack([np.array(trace[axis], dtype=float) for axis in axes])
    return {frozenset(tuple(np.round(end, 5).tolist()) for end in pair) for pair in places.reshape(-1, 3, 3)[:, :2]}


@pytest.mark.parametrize("symbols", SYSTEMS, ids="-".join)
def test_the_phases_drawn_as_stable_are_those_of_pymatgen(symbols, phosphates, reference, named, ids_of):
    figure = plot_hull(phosphates, symbols)
    stable = {entry.entry_id for entry in reference(*symbols).stable_entries}
    assert ids_of(named(figure, "stable")) == stable
    assert stable <= set(phosphates.stable_ids)


def test_the_tie_lines_of_a_ternary_are_the_edges_of_pymatgens_facets(phosphates, reference):
    diagram = reference("Li", "Fe", "O")
    expected = {
        frozenset(
            tuple(round(diagram.qhull_entries[i].composition.get_atomic_fraction(e), 5) for e in ("Li", "Fe", "O"))
            for i in pair
        )
        for facet in diagram.facets
        for pair in combinations(facet, 2)
    }
    assert drawn_lines(plot_hull(phosphates, "Li-Fe-O")) == expected


def test_a_point_of_a_ternary_stands_at_its_atomic_fractions(oxides, named):
    trace = named(plot_hull(oxides, "O-Li-Fe"), "stable")
    names = [hover.split("</b>  ")[1].split("<br>")[0] for hover in trace.hovertext]
    by_id = dict(zip(names, zip(trace.a, trace.b, trace.c, strict=True), strict=True))
    for name in ("Li2O", "LiFeO2", "Li5FeO4"):
        composition = Composition(name)
        expected = [composition.get_atomic_fraction(element) for element in ("O", "Li", "Fe")]
        assert by_id[f"e-{name}"] == pytest.approx(expected)


def test_distances_in_the_tetrahedron_are_those_of_its_barycentric_coordinates(oxides, named):
    """In a simplex of edges of one, the square of a distance is half the sum of the squared differences."""
    trace = named(plot_hull(oxides, "Li-Fe-P-O"), "stable")
    places = np.column_stack([trace.x, trace.y, trace.z])
    formulas = [hover.split("</b>  e-")[1].split("<br>")[0] for hover in trace.hovertext]
    fractions = np.array(
        [[Composition(f).get_atomic_fraction(e) for e in ("Li", "Fe", "P", "O")] for f in formulas], dtype=float
    )
    assert len(places) == 12
    for i, j in combinations(range(len(places)), 2):
        expected = ((fractions[i] - fractions[j]) ** 2).sum() / 2
        assert ((places[i] - places[j]) ** 2).sum() == pytest.approx(expected, abs=1e-12)


def test_a_binary_shows_each_entry_at_its_formation_energy(phosphates, reference, ids_of, named):
    figure = plot_hull(phosphates, "Li-O")
    diagram = reference("Li", "O")
    expected = {
        (round(e.composition.get_atomic_fraction("O"), 6), round(diagram.get_form_energy_per_atom(e), 6))
        for e in diagram.all_entries
    }
    drawn = {
        (round(x, 6), round(y, 6))
        for name in CLASSES
        for x, y in zip(named(figure, name).x, named(figure, name).y, strict=True)
    }
    above = figure.layout.yaxis.range[1]
    assert drawn == {(x, y) for x, y in expected if y <= above}
    assert f"{sum(y > above for _, y in expected)} above the frame" in figure.layout.title.subtitle.text
    line = figure.data[0]
    assert list(line.x) == sorted(line.x)
    assert len(line.x) == len(diagram.stable_entries)


def test_metastable_ends_at_a_tenth_of_an_electronvolt_or_at_the_window(phosphates, named):
    above = {
        row: e for row, e in zip(phosphates.ids, phosphates.own_e_above_hull(), strict=True) if e <= 0.3
    }  # polymorphs farther away than 0.3 are told by the lowest of their composition
    for window in (None, 0.04):
        figure = plot_hull(phosphates, "Li-O", window=window)
        limit = window or 0.1
        told = [float(h.split("E above hull ")[1].split()[0]) for h in named(figure, "metastable").hovertext]
        own = set(phosphates.columns("Li-O").ids)
        assert len(told) == sum(1e-6 < e <= limit for row, e in above.items() if row in own)
        assert max(told) <= limit
        assert named(figure, "metastable").marker.cmax == limit
        assert ("unstable" in {trace.name for trace in figure.data}) == (window is None)
    assert "<br>20 within 0.04 eV/atom shown<br>" in figure.layout.title.subtitle.text


def test_what_is_nearer_to_the_hull_lies_in_front(phosphates, named):
    figure = plot_hull(phosphates, "Li-Fe-O")
    names = [trace.name for trace in figure.data if trace.name]
    assert names == ["unstable", "metastable", "stable"]
    above = named(figure, "metastable").marker.color
    assert list(above) == sorted(above, reverse=True)


def test_the_title_tells_which_hull_it_is(phosphates):
    title = plot_hull(phosphates, "Li-Fe-O").layout.title
    assert title.text == "<b>Li-Fe-O</b> hull"
    for fact in ("362 entries, 11 on the hull", f"hull {phosphates.version}", "protocol"):
        assert fact in title.subtitle.text


@pytest.mark.parametrize(("system", "kinds"), [("Fe-O", {"scatter"}), ("Li-Fe-O", {"scatterternary"})])
def test_axes_carry_their_names_and_units(oxides, system, kinds):
    figure = plot_hull(oxides, system)
    assert {trace.type for trace in figure.data} == kinds
    if system == "Fe-O":
        assert figure.layout.xaxis.title.text == "atomic fraction of O"
        assert figure.layout.yaxis.title.text == "formation energy (eV/atom)"
    else:
        assert figure.layout.ternary.baxis.title.text == "<b>Fe</b>"


def test_one_element_shows_its_polymorphs_in_order(phosphates, named):
    figure = plot_hull(phosphates, "O")
    energies = [*named(figure, "stable").y, *reversed(named(figure, "metastable").y)]
    assert energies[0] == 0
    assert energies == sorted(energies)


def test_an_element_that_is_not_listed_is_drawn_at_zero(named):
    salt = Hull(["NaCl", "Na3Cl"], [-2.0, -0.8], formation_energies=True)
    stable = named(plot_hull(salt, "Na-Cl"), "stable")
    assert [(x, y) for x, y in zip(stable.x, stable.y, strict=True) if y == 0] == [(0, 0), (1, 0)]


def test_a_plot_of_free_energies_says_so_and_at_which_temperature():
    hull = Hull(["NaCl", "Na3Cl"], [-2.0, -1.2], formation_energies=True, temperature=900)
    figure = plot_hull(hull, "Na-Cl")
    assert "free energies at 900 K" in figure.layout.title.subtitle.text
    assert figure.layout.yaxis.title.text == "free energy of formation at 900 K (eV/atom)"
    hovers = [
        text for trace in figure.data for text in np.atleast_1d(trace.hovertext if trace.hovertext is not None else [])
    ]
    assert any("free energy of formation at 900 K -2.0000 eV/atom" in text for text in hovers)
    opened = plot_hull(open_hull(hull, {"Cl": -1.0}), "Na")
    assert "free energies at 900 K" in opened.layout.title.subtitle.text


def test_an_open_hull_says_what_it_is_open_to(oxides, named):
    figure = plot_hull(open_hull(oxides, {"O": -1.0}, relative=True), "Li-Fe")
    assert "open to O at -5.9 eV/atom" in figure.layout.title.subtitle.text
    assert figure.layout.yaxis.title.text == "grand potential of formation (eV/atom without O)"
    assert any("e-LiFeO2" in hover for hover in named(figure, "stable").hovertext)


def test_a_landscape_has_the_energy_upwards(oxides, named):
    figure = plot_hull(oxides, "Li-Fe-O", energy_upwards=True)
    stable = named(figure, "stable")
    by_id = {h.split("</b>  ")[1].split("<br>")[0]: z for h, z in zip(stable.hovertext, stable.z, strict=True)}
    assert by_id["e-Fe2O3"] == pytest.approx(-8.0 - (2 * -8.4 + 3 * -4.9) / 5)


def test_nothing_in_space_lies_in_front_of_a_marker(oxides, named):
    """Plotly gives the pointer to the line or face in front, and a line on a marker would take its hover."""
    figure = plot_hull(oxides, "Li-Fe-P-O")
    stable = named(figure, "stable")
    markers = np.column_stack([stable.x, stable.y, stable.z])
    ends = [np.column_stack([t.x, t.y, t.z]).astype(float) for t in figure.data if t.mode == "lines"]
    away = np.linalg.norm(np.concatenate(ends)[:, None] - markers[None], axis=2).min(axis=1)
    assert np.nanmin(away) > 0.02
    assert {trace.type for trace in figure.data} == {"scatter3d"}


@pytest.mark.parametrize(
    ("system", "keywords", "message"),
    [
        ("Li-Fe-P-O-N", {}, "Li-Fe-P-O-N has 5 elements, and a plot shows at most 4: plot a system inside it"),
        ("Li-Na", {}, "the hull has no entry of Na, so none of the chemical system Li-Na"),
        ("Li-O", {"window": -0.1}, "the window must be a distance to the hull of 0 eV/atom or more, got -0.1"),
        ("Li-O", {"window": float("nan")}, "the window must be a distance to the hull"),
        ("Li-O", {"energy_upwards": True}, "the energy goes upwards on plots of 3 elements, and Li-O has 2"),
        ("Li-Xx", {}, "Xx"),
    ],
)
def test_what_cannot_be_plotted_is_said(oxides, system, keywords, message):
    with pytest.raises(UserError) as error:
        plot_hull(oxides, system, **keywords)
    assert message in str(error.value)
