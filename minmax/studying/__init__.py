"""Studies: train and score the variants of a plan, each with each seed."""
