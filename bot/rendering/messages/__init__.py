"""Messages that Rampart posts by itself: card, alert, approval, notice, summary, and thread lines."""
