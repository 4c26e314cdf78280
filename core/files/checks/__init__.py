"""What is wrong or unwise in a file that reads well, one file per kind of check."""
