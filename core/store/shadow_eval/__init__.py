"""Answers that wait for a judge or were judged, what judging them cost, and sums from while the judge was trusted."""
