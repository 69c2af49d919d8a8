"""A plot of throughput against latency, with one line for each server."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Results

# Fixed ids, so that a new drawing differs from the last only where its figures do.
matplotlib.rcParams["svg.hashsalt"] = "benchmarks"


def draw(results: Results, path: Path) -> None:
    """Writes an SVG: the median solid, the 99th percentile dashed, points by connections."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for index, server in enumerate(results.servers):
        _line(axes, results, server, f"C{index}")
    axes.set(
        xlabel="images a second",
        ylabel="latency, ms",
        yscale="log",
        title=f"{results.model} over HTTP on {results.machine.cores} CPUs: "
        "median (solid), 99th percentile (dashed)",
    )
    axes.set_xlim(left=0)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def _line(axes: Axes, results: Results, server: str, color: str) -> None:
    mine = [sample for sample in results.loads if sample.server == server and sample.settled]
    connections = sorted({sample.connections for sample in mine})
    loads = [[s.load for s in mine if s.connections == number] for number in connections]
    rates = [statistics.median(load.requests_per_second for load in group) for group in loads]
    medians = [statistics.median(load.p50_ms for load in group) for group in loads]
    slowest = [statistics.median(load.p99_ms for load in group) for group in loads]
    axes.plot(rates, medians, "o-", color=color, label=server)
    axes.plot(rates, slowest, ".--", color=color, alpha=0.5)
    for number, rate, median in zip(connections, rates, medians, strict=True):
        axes.annotate(str(number), (rate, median), xytext=(5, -10), textcoords="offset points")
