"""Shadow evaluation: answers of both versions are sampled alike, and judged without saying which is which (pure)."""
