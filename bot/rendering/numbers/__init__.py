"""A measure in numbers and words: rows, segments, and what could have been detected."""
