"""How a difference developed: Slack charts, SVG for pages, and words where neither is drawn."""
