"""What a review and a digest say, in words."""
