"""The field trial: whole rollouts in a world as it is, through the whole program but for its sockets."""
