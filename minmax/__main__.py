"""The command `minmax`: the same as `python cli.py`."""

from cli import main

if __name__ == "__main__":
    main()
