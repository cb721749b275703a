"""Measures the project's speed against other loops, and counts its work."""
