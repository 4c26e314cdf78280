"""What somebody who asks is answered: status, metrics, history, help."""
