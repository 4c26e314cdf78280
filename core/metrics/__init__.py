"""What is measured: the catalogue of metrics, and what an application reports."""
