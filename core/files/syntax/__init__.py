"""YAML to values that remember their line: fields, units, times, and what is said of what is wrong."""
