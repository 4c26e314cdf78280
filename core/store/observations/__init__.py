"""Sums of observations: each counted once, where its sums are kept, and the looks that were taken at them."""
