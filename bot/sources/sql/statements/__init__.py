"""The statements of a pull: the engine that holds the rows sums them in 256 buckets of their units."""
