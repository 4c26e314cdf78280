"""One unit at a time: who was served a new version, and what people report of a unit."""
