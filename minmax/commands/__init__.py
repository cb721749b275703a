"""Commands beside Lightning's own fit, validate and test."""
