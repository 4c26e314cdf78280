"""What every measurement is made with: figures, rounds, loads, servers, databases and rollouts."""
