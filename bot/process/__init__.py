"""What one process knows of itself and the others: whether it is informed, what it serves, what it logs."""
