"""The sandbox's implementation of Slack's Web API methods."""
