"""A report of simulated worlds: one static page, drawn here, that asks the network for nothing."""

from flopgate_sim.report.page import SECTIONS_MAX, render

__all__ = ["SECTIONS_MAX", "render"]
