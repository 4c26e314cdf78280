"""The tests: exact e-processes, their increments, and the mixture that gives one e-value per criterion."""
