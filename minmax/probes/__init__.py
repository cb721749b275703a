"""What only some hundred images, or a network's weights, can tell; measured in validations."""
