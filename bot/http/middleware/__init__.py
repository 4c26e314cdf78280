"""What every request passes: tokens, bodies within bounds, rates, and errors of one form."""
