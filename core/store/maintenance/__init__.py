"""Occasional work: taking checkpoints, erasing personal text, deleting old data, measuring the database."""
