"""Pulls metrics from where they are: the database or the monitoring of the people whose AI feature it is."""
