"""What is done now and then: checkpoints, erasure, retention, and how large it has become."""
