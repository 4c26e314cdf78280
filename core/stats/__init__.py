"""Statistics, most of them valid under constant looking: pure functions of numbers that know nothing about rollouts."""
