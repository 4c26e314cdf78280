"""What is foreseen of a plan, before it starts."""
