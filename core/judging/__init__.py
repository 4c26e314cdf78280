"""From measurements to one verdict. Pure and deterministic: a recorded look always gives the same verdict again."""
