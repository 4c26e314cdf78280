"""What testers say of a new version: who may vote, how votes are counted, and when they stop growth (pure)."""
