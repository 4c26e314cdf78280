"""What is done again and again, by kind of job."""
