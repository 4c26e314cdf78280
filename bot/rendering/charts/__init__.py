"""Trend charts of a difference: Slack chart blocks, SVG for pages, and text where neither can be drawn."""
