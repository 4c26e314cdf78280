"""Jobs that pull metrics and traces from where a team keeps them."""
