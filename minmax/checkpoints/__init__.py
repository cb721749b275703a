"""Checkpoints: reading them safely, and building the models that they hold."""
