"""What is announced to whom after an event (pure)."""
