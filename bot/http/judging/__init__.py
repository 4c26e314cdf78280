"""Shadow evaluation over HTTP: answers come in, work goes out to judges, and what they say comes back."""
