"""What only SQLite has: its append transaction, the file, and the write lock for which threads and processes queue."""
