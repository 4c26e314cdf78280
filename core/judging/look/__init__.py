"""From counted sums to one look: what is new, how the arms compare, and without the bucket that weighs most."""
