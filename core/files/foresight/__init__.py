"""What a plan could see before it starts: how soon a change would be noticed, and what happens when."""
