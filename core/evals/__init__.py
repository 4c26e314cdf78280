"""Results of offline evals, and the gate that they have to pass before anybody is exposed."""
