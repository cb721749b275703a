"""Feature networks, and scores of generated images."""
