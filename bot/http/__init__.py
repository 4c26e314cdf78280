"""The HTTP doors: evaluation, observations, REST, pages, health."""
