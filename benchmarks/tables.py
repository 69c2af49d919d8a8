"""The results as tables, for a terminal and for docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.ratios import Ratio, Spread, ratios, spread
from benchmarks.results import EngineSample, Results

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the first column names the row, the others hold figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def grids(results: Results) -> list[Grid]:
    return [
        _engine(results),
        _engine_cpu(results),
        _sgemm(results),
        _loads(results),
        _starts(results),
        *([_accuracies(results)] if results.accuracies else []),
        _ratios(ratios(results)),
    ]


def show(results: Results, console: Console) -> None:
    for line in facts(results):
        console.print(line, highlight=False)
    for grid in grids(results):
        table = Table(title=grid.title, title_justify="left", title_style="bold")
        for index, name in enumerate(grid.header):
            table.add_column(name, justify="left" if index == 0 else "right")
        for row in grid.rows:
            table.add_row(*row)
        console.print(table)


def markdown(results: Results) -> str:
    """The content of docs/performance.md between its markers."""
    parts = ["\n".join(f"- {line}" for line in facts(results))]
    for grid in grids(results):
        lines = [
            f"**{grid.title}**\n",
            "| " + " | ".join(grid.header) + " |",
            "|---" + "|---:" * (len(grid.header) - 1) + "|",
            *("| " + " | ".join(row) + " |" for row in grid.rows),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def facts(results: Results) -> list[str]:
    """The machine and the conditions, one line each."""
    machine, images = results.machine, results.images
    features = ", ".join(machine.features) or "none of those that matter here"
    errors = sum(sample.load.errors for sample in results.loads)
    requests = sum(sample.load.requests for sample in results.loads)
    client_ms = (
        1e3 * sum(sample.load.client_cpu_seconds for sample in results.loads) / max(1, requests)
    )
    lines = [
        f"{results.date}, version {machine.commit or 'unknown'}, {results.model}: "
        f"{results.rounds} round{'s' if results.rounds > 1 else ''} in "
        f"{results.seconds / 60:.1f} minutes{' (quick)' if results.quick else ''}",
        f"{machine.cpu_model}, {machine.cores} CPUs, {machine.memory_bytes / 2**30:.0f} GiB; "
        f"{features}; {machine.system}",
        ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        f"{images.count} images, {images.source}: {images.width} x {images.height}, "
        f"{images.jpeg_bytes / 1000:.0f} kB (medians)",
        f"Client: {results.client}, which took {client_ms:.2f} ms of CPU time a request; "
        f"{requests} requests answered, {errors} failed",
        f"Others kept {machine.load_average:.1f} CPUs busy as it began",
    ]
    if not {"avx512_bf16", "amx_bf16"} & set(machine.features):
        lines.append("This CPU has no bfloat16")
    if not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(machine.features):
        lines.append("This CPU has no VNNI: int8 takes more instructions than where it does")
    if results.answers:
        same = ", ".join(f"{one.server} {one.same} of {one.images}" for one in results.answers)
        lines.append(f"Peers name the class that the service names: {same}")
    return lines + [f"Not measured: {what}. {why}" for what, why in results.skipped.items()]


def _engine(results: Results) -> Grid:
    title = "Engine alone, images a second: median (lowest to highest)"
    return _by_batch_size(results, title, lambda sample: sample.images_per_second)


def _engine_cpu(results: Results) -> Grid:
    title = "Engine alone, milliseconds of CPU time an image: median (lowest to highest)"
    return _by_batch_size(results, title, lambda sample: sample.cpu_ms)


def _by_batch_size(results: Results, title: str, figure: Callable[[EngineSample], float]) -> Grid:
    sweeps = [sample for sample in results.engine if sample.sweep is not None]
    sizes = sorted({sample.batch_size for sample in sweeps})
    rows = []
    for engine in results.engines:
        cells = (
            spread(
                figure(sample)
                for sample in sweeps
                if (sample.engine, sample.batch_size) == (engine, size)
            )
            for size in sizes
        )
        rows.append((engine, *(_with_range(cell) for cell in cells)))
    return Grid(title, ("engine", *(f"batch {size}" for size in sizes)), tuple(rows))


def _sgemm(results: Results) -> Grid:
    found = spread(sample.gflops for sample in results.sgemm)
    images = spread(1e9 * sample.gflops / (2 * results.macs or 1) for sample in results.sgemm)
    row = ("sgemm", _with_range(found), _with_range(images))
    title = "A product of float32 matrices, by NumPy's BLAS: what the CPUs can compute"
    return Grid(title, ("", "GFLOP/s", "as images a second"), (row,))


def _loads(results: Results) -> Grid:
    rows = []
    for server in results.servers:
        mine = [sample for sample in results.loads if sample.server == server]
        for connections in sorted({sample.connections for sample in mine}):
            samples = [sample for sample in mine if sample.connections == connections]
            loads = [sample.load for sample in samples]
            settled = [sample.load for sample in samples if sample.settled]
            rows.append(
                (
                    f"{server}, {connections}",
                    _with_range(spread(load.requests_per_second for load in loads)),
                    _median([load.p50_ms for load in settled]),
                    _median([load.p95_ms for load in settled]),
                    _median([load.p99_ms for load in settled]),
                    str(sum(load.requests for load in loads)),
                    str(sum(load.errors for load in loads)),
                )
            )
    header = (
        *("server, connections", "images a second", "p50 ms", "p95 ms", "p99 ms"),
        *("answered", "failed"),
    )
    title = "Over HTTP, an image a request: medians of the rounds (lowest to highest)"
    return Grid(title, header, tuple(rows))


def _starts(results: Results) -> Grid:
    rows = []
    for server in results.servers:
        mine = [sample for sample in results.starts if sample.server == server]
        rows.append(
            (
                server,
                _with_range(spread(sample.seconds for sample in mine)),
                f"{statistics.median(sample.cpu_seconds for sample in mine):.1f}",
                f"{statistics.median(sample.ready_bytes for sample in mine) / 1e6:.0f}",
                f"{statistics.median(sample.loaded_bytes for sample in mine) / 1e6:.0f}",
            )
        )
    header = (
        "server",
        "start to ready, s",
        "CPU's time, s",
        "MB when ready",
        "MB after the loads",
    )
    return Grid("Start from a cached artifact, and resident memory", header, tuple(rows))


def _accuracies(results: Results) -> Grid:
    rows = tuple(
        (one.precision, *map(_percent, (one.top1_percent, one.top5_percent, one.agreement_percent)))
        for one in results.accuracies
    )
    title = f"Accuracy on {results.accuracies[0].images} labeled photos"
    return Grid(title, ("precision", "top-1", "top-5", "agrees with float32"), rows)


def _ratios(found: list[Ratio]) -> Grid:
    rows = tuple(
        (ratio.name, _ratio_value(ratio), _target(ratio), _verdict(ratio)) for ratio in found
    )
    header = ("ratio", "median (lowest to highest)", "target", "met")
    return Grid("Ratios, each of figures measured side by side", header, rows)


def _ratio_value(ratio: Ratio) -> str:
    return NOT_MEASURED if ratio.value is None else _with_range(ratio.value) + ratio.unit


def _target(ratio: Ratio) -> str:
    if ratio.target is None:
        return ""
    return f"{'at most' if ratio.at_most else 'at least'} {ratio.target:g}{ratio.unit}"


def _verdict(ratio: Ratio) -> str:
    if ratio.target is None:
        return ""
    return {True: "yes", False: "no", None: NOT_MEASURED}[ratio.met]


def _with_range(found: Spread | None) -> str:
    if found is None:
        return NOT_MEASURED
    if found.low == found.high:
        return _figure(found.median)
    return f"{_figure(found.median)} ({_figure(found.low)} to {_figure(found.high)})"


def _figure(value: float) -> str:
    """Three significant digits, or whole numbers where they have more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _median(milliseconds: list[float]) -> str:
    return f"{statistics.median(milliseconds):.0f}" if milliseconds else "too few"


def _percent(value: float) -> str:
    return f"{value:.1f} %"
