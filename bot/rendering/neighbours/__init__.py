"""What other rollouts mean for one, in words: its bundle, the queue, and shared parts."""
