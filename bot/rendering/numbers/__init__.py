"""Measures as text: table rows, sentences, segments, and detection power."""
