"""What comes over HTTP: evaluations, streams, observations and spans."""
