"""What a plan can detect before it starts: how soon a change is noticed, and what happens when."""
