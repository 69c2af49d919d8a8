"""The reliability diagram as SVG: accuracy over confidence, and how many images have it.

Niculescu-Mizil and Caruana 2005; Guo et al. 2017 (arXiv 1706.04599), figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from service.evaluation.calibration.figures import ReliabilityBin

EDGE, MARGIN, GAP, COUNTS = 300, 48, 40, 60
STYLE = (
    "text{font:12px sans-serif;fill:currentColor}.bar{fill:#3b7dd8}.gap{fill:#d8573b;opacity:.45}"
    ".axis{stroke:currentColor;fill:none}.even{stroke:currentColor;stroke-dasharray:4 3}"
    "svg{color:#222;background:#fff}"
)


def reliability_svg(panels: Sequence[tuple[str, Sequence[ReliabilityBin]]]) -> str:
    """A diagram beside another. panels: the title and the bins of each."""
    width = MARGIN + len(panels) * (EDGE + GAP)
    height = MARGIN + EDGE + GAP + COUNTS + MARGIN
    drawn = "".join(
        _panel(title, bins, MARGIN + index * (EDGE + GAP))
        for index, (title, bins) in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="Reliability diagram">'
        f"<style>{STYLE}</style>{drawn}</svg>\n"
    )


def _panel(title: str, bins: Sequence[ReliabilityBin], left: float) -> str:
    bottom = MARGIN + EDGE
    most = max((one.count for one in bins), default=1)
    parts = [f'<text x="{left}" y="{MARGIN - 16}">{escape(title)}</text>']
    for one in bins:
        x, width = left + one.low * EDGE, (one.high - one.low) * EDGE - 1
        tip = (
            f"<title>{one.low:.2f} to {one.high:.2f}: {one.count} images, confidence "
            f"{one.confidence:.3f}, accuracy {one.accuracy:.3f}</title>"
        )
        low, high = sorted((one.accuracy, one.confidence))
        parts.append(_rect("bar", x, bottom - one.accuracy * EDGE, width, one.accuracy * EDGE, tip))
        parts.append(_rect("gap", x, bottom - high * EDGE, width, (high - low) * EDGE, tip))
        tall = one.count / most * COUNTS
        parts.append(_rect("bar", x, bottom + GAP + COUNTS - tall, width, tall, tip))
    parts.append(f'<path class="even" d="M{left} {bottom}l{EDGE} {-EDGE}"/>')
    parts.append(f'<path class="axis" d="M{left} {MARGIN}v{EDGE}h{EDGE}"/>')
    parts.append(f'<path class="axis" d="M{left} {bottom + GAP + COUNTS}h{EDGE}"/>')
    for tick in (0, 0.5, 1):
        across = f'x="{left + tick * EDGE}" y="{bottom + 16}" text-anchor="middle"'
        up = f'x="{left - 6}" y="{bottom - tick * EDGE + 4}" text-anchor="end"'
        parts += [f"<text {across}>{tick:g}</text>", f"<text {up}>{tick:g}</text>"]
    middle = f'x="{left + EDGE / 2}" text-anchor="middle"'
    parts.append(f'<text {middle} y="{bottom + 30}">confidence; bars: accuracy</text>')
    counts = f"images, at most {most} in a bin"
    parts.append(f'<text {middle} y="{bottom + GAP + COUNTS + 16}">{counts}</text>')
    return "".join(parts)


def _rect(kind: str, x: float, y: float, width: float, height: float, inner: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}">{inner}</rect>'
    )
