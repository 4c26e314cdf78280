"""Jobs that have answers judged, and judges checked."""
