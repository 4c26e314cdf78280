"""What people see: values in, text and blocks out; no Slack, no clock, no database."""
