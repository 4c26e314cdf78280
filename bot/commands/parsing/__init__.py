"""From a typed line to a verb with its parts."""
