"""Figures: samples against the exact posterior, as points or as images; flows; metric against cost.

Pure functions from arrays to a `matplotlib.figure.Figure`; the caller saves it. Nothing touches
pyplot or global settings, so they work without a display.
"""

from cwbench.reporting.figures.class_grid import class_grid
from cwbench.reporting.figures.film import flow_film
from cwbench.reporting.figures.fit import metric_during_fit
from cwbench.reporting.figures.imaging import ExactImages, posterior_images
from cwbench.reporting.figures.nfe import metric_against_nfe
from cwbench.reporting.figures.posterior import corner, flow_paths
from cwbench.reporting.figures.structure import Directions, Modes, posterior_structure
from cwbench.reporting.figures.summary import heat_map, vote_matrix
from cwbench.style import DPI

__all__ = [
    "DPI",
    "Directions",
    "ExactImages",
    "Modes",
    "class_grid",
    "corner",
    "flow_film",
    "flow_paths",
    "heat_map",
    "metric_against_nfe",
    "metric_during_fit",
    "posterior_images",
    "posterior_structure",
    "vote_matrix",
]
