"""Plots of hulls and chemical potentials, through Plotly."""

from __future__ import annotations

from matscout.drawing.files import write_plot
from matscout.workflows.stability.plots.diagrams import plot_chemical_potentials
from matscout.workflows.stability.plots.hulls import plot_hull
from matscout.workflows.stability.plots.potentials import Domain, chemical_potential_domains

__all__ = ["Domain", "chemical_potential_domains", "plot_chemical_potentials", "plot_hull", "write_plot"]
