"""What people command, one file per kind of command."""
