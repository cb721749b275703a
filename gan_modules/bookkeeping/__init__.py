"""What the training steps of all variants need around them: counts, logs, checkpoints, resuming."""
