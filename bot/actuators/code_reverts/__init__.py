"""Systems that are asked to revert code after a rollback."""
