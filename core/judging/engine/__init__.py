"""The tests: exact e-processes, their increments, and the mixture that becomes one e-value per criterion."""
