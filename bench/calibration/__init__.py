"""How often the engine's evidence condemns what does no harm, in simulated rollouts."""
