"""Figures: samples against the exact posterior, paths of a flow, a metric against its cost.

Pure functions from arrays to a `matplotlib.figure.Figure`; the caller saves it. Nothing touches
pyplot or global settings, so they work without a display.
"""

from cwbench.reporting.figures.nfe import metric_against_nfe
from cwbench.reporting.figures.posterior import corner, flow_paths
from cwbench.reporting.figures.style import DPI

__all__ = ["DPI", "corner", "flow_paths", "metric_against_nfe"]
