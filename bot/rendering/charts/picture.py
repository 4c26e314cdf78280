"""A chart as a PNG picture, drawn from the SVG of the pages, for workspaces that refuse Slack's own chart block."""

from functools import cache

from bot.rendering.blocks.blocks import ChartPicture

ZOOM = 2.0  # readable on screens with twice as many pixels
_STYLE = """
.chart text { fill: #1d1c1d; font-size: 12px; font-family: DejaVu Sans, Liberation Sans, Noto Sans, Arial, Helvetica; }
.chart text.tick, .chart text.unit, .chart text.stage { fill: #616061; }
.chart .grid { stroke: #dddddd; }
.chart .zero { stroke: #616061; }
.chart .stage { stroke: #616061; stroke-dasharray: 1 4; }
.chart text.stage { stroke: none; }
.chart line.other { stroke: #7a3e9d; stroke-dasharray: 2 3; }
.chart text.other { fill: #7a3e9d; }
.chart .band { fill: #0969da; fill-opacity: .16; }
.chart polyline.difference { fill: none; stroke: #0969da; stroke-width: 2; }
.chart circle.difference { fill: #0969da; }
.chart text.difference { fill: #0969da; font-weight: 600; }
.chart line.limit { stroke: #b42318; stroke-width: 1.5; stroke-dasharray: 6 4; }
.chart text.limit { fill: #b42318; }
"""
_LETTER = '<svg class="chart" viewBox="0 0 20 20"><text x="2" y="16">M</text></svg>'


def draw_png(picture: ChartPicture) -> bytes | None:
    """The picture as PNG; None on a machine without fonts, where its words would be missing."""
    return _render(picture.svg) if has_fonts() else None


@cache
def has_fonts() -> bool:
    """Whether this machine can draw text at all: a letter gives other pixels than a space."""
    return _render(_LETTER) != _render(_LETTER.replace(">M<", "> <"))


def _render(svg: str) -> bytes:
    from resvg_py import svg_to_bytes  # takes a while to load, and most processes never draw

    named = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return bytes(svg_to_bytes(svg_string=named, style_sheet=_STYLE, background="#ffffff", zoom=ZOOM))
