"""Starting a process: connections, scheduled jobs, and the program made of them."""
