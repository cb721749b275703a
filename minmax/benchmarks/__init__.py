"""What the project's speed is measured against, and how work is counted."""
