"""Forms in Slack: each builds its view, checks what was entered, and carries it out."""
