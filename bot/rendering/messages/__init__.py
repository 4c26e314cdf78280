"""Everything that is posted: card, alert, approval, notice, summary, and the lines of a thread."""
