"""What only a GPU can answer, in one command: `python -m minmax.gpu --output FOLDER`."""
