"""Webhooks of help desks: verified by signature, read, and recorded as complaints."""
