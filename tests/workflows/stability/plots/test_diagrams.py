from __future__ import annotations

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.workflows.stability import Hull, chemical_potential_domains, plot_chemical_potentials


def test_two_elements_make_a_line_for_each_stable_phase(oxides):
    figure = plot_chemical_potentials(oxides, "Fe-O")
    lines = [trace for trace in figure.data if trace.hovertext]
    domains = chemical_potential_domains(oxides, "Fe-O")
    assert len(lines) == len(domains) == 4
    for line, domain in zip(lines, domains, strict=True):
        ends = np.array([[line.x[0], line.y[0]], [line.x[-1], line.y[-1]]])
        assert np.sort(ends, axis=0) == pytest.approx(np.sort(domain.vertices, axis=0))
    assert figure.layout.xaxis.title.text == "Δμ(Fe) (eV/atom)"
    assert figure.layout.yaxis.title.text == "Δμ(O) (eV/atom)"


def test_three_elements_make_a_face_for_each_stable_phase(oxides):
    figure = plot_chemical_potentials(oxides, "Li-Fe-O")
    faces = [trace for trace in figure.data if trace.type == "mesh3d"]
    domains = chemical_potential_domains(oxides, "Li-Fe-O")
    assert len(faces) == len(domains)
    for face, domain in zip(faces, domains, strict=True):
        assert np.column_stack([face.x, face.y, face.z]) == pytest.approx(domain.vertices)
    scene = figure.layout.scene
    assert [scene[f"{axis}axis"].title.text for axis in "xyz"] == [f"Δμ({e}) (eV/atom)" for e in ("Li", "Fe", "O")]


def test_hover_tells_the_range_of_each_potential(oxides):
    window = oxides.chemical_potential_window("e-LiFeO2", "Fe-Li-O")
    figure = plot_chemical_potentials(oxides, "Li-Fe-O")
    (hover,) = {trace.hovertext[0] for trace in figure.data if trace.hovertext and "e-LiFeO2" in trace.hovertext[0]}
    low, high = window["Li"]
    assert f"Δμ(Li) {low:.3f} to {high:.3f} eV/atom" in hover
    (iron,) = {trace.hovertext[0] for trace in figure.data if trace.hovertext and "  e-Fe<br>" in trace.hovertext[0]}
    assert "Δμ(Fe) 0.000 eV/atom" in iron
    assert "Δμ(O) at most" in iron


def test_on_two_axes_of_three_regions_hold_the_third_element(oxides):
    figure = plot_chemical_potentials(oxides, "Li-Fe-O", axes=["Li", "O"])
    regions = {trace.text.split("</b>  ")[1].split("<br>")[0] for trace in figure.data if trace.fill == "toself"}
    lines = {trace.hovertext[0].split("</b>  ")[1].split("<br>")[0] for trace in figure.data if trace.hovertext}
    assert regions == {"e-Fe", "e-FeO", "e-Fe2O3", "e-LiFeO2", "e-Li5FeO4"}
    assert lines == {"e-Li", "e-O2", "e-Li2O", "e-Li2O2"}
    assert "Δμ(Fe) as high as the phases allow" in figure.layout.title.subtitle.text


def test_every_label_is_the_formula_of_a_stable_phase(oxides):
    figure = plot_chemical_potentials(oxides, "Li-Fe-O")
    written = {label.text for label in figure.layout.scene.annotations}
    stable = {"Li", "Fe", "O<sub>2</sub>", "Li<sub>2</sub>O", "LiFeO<sub>2</sub>", "FeO", "Fe<sub>2</sub>O<sub>3</sub>"}
    assert stable <= written
    assert len(written) == len(figure.layout.scene.annotations)


def test_what_an_entry_brings_stays_text():
    hull = Hull(["Na", "NaCl", "Cl2"], [0, -2, 0], ["a", "<a href=x>b", "c"], formation_energies=True)
    hovers = [trace.hovertext[0] for trace in plot_chemical_potentials(hull, "Na-Cl").data if trace.hovertext]
    assert any("&lt;a href=x&gt;b" in hover for hover in hovers)
    assert not any("<a" in hover for hover in hovers)


@pytest.mark.parametrize(
    ("system", "axes", "message"),
    [
        ("Fe", None, "shows 2 or 3 elements, and Fe has 1"),
        ("Li-Fe-P-O", None, "shows 2 or 3 elements, and Li-Fe-P-O has 4: plot a system inside it"),
        ("Li-Fe-O", ["Li", "Li"], "the axes of a flat diagram are two of three elements, not Li, Li of Li-Fe-O"),
        ("Li-Fe-O", ["Li", "P"], "not Li, P of Li-Fe-O"),
        ("Fe-O", ["Fe", "O"], "two of three elements"),
    ],
)
def test_what_makes_no_diagram_is_said(oxides, system, axes, message):
    with pytest.raises(UserError) as error:
        plot_chemical_potentials(oxides, system, axes=axes)
    assert message in str(error.value)
