"""What evidence costs: eval results, rows of a warehouse, and what one unit can bring about."""
