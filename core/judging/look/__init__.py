"""From counted sums to one look: new counts, comparisons of the arms, and the same without the loudest bucket."""
