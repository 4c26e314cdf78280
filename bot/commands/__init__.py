"""What people ask for, from Slack, HTTP or the command line: parse a line, find its rollout, carry it out."""
