"""YAML to values that remember their line: units, times, and the terms of limits, stages and driven flags."""
