"""Checkpoints: reading them safely, and building their models."""
