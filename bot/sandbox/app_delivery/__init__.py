"""What Slack sends to an app: envelopes over HTTP or a socket."""
