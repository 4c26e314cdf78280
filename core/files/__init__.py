"""Files to values: reading YAML, pointing at what is wrong in it, and building the plan that it asks for."""
