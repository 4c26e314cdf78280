"""The field trial: whole rollouts in a world as applications really have it, through the whole program but for sockets."""
