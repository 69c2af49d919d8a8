"""The figures of `python -m benchmarks confidence` as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.confidence import ConfidenceQuality


def show_confidence(found: ConfidenceQuality, console: Console) -> None:
    console.print(f"{found.artifact}: {found.known} labeled images, {found.unknown} others")
    header = ("logits x", "T", "ECE", "by chance", "debiased", "likelihood", "Brier", "gain, nats")
    table = Table(*header, title="Calibration, before and after")
    for one in found.calibration:
        report, pair = one.report, (one.report.before, one.report.after)
        cells = (
            "{0.expected_calibration_error:.3f}",
            "{0.chance_error_mean:.3f} ± {0.chance_error_deviation:.3f}",
            "{0.debiased_calibration_error:.3f}",
            "{0.negative_log_likelihood:.3f}",
            "{0.brier_score:.3f}",
        )
        table.add_row(
            f"{one.logits:g}",
            report.method if report.temperature is None else f"{report.temperature:.2f}",
            *(" to ".join(cell.format(figures) for figures in pair) for cell in cells),
            f"{one.gain:.4f} ± {one.error:.4f}",
        )
    console.print(table)
    if not found.separation:
        return
    kinds = list(found.separation[0].passing)
    title = "Out of distribution, percent: AUROC; the share that passes, of all and of each kind"
    table = Table("score", "AUROC", "FPR", *kinds, title=title)
    for score in found.separation:
        passing = (f"{score.passing[kind]:.1f}" for kind in kinds)
        table.add_row(score.method, f"{score.auroc:.1f}", f"{score.fpr:.1f}", *passing)
    console.print(table)
