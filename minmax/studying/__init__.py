"""Studies: what a plan compares is trained and scored, each change with each seed."""
