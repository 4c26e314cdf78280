"""The program as a whole: evaluations, commands, memory, starts, and from a verdict to a rollback."""
