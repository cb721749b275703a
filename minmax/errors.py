"""The one kind of error that is the user's to mend, and not a bug."""


class UserError(ValueError):
    """Wrong input: the command line shows its message in one line, without a traceback.

    The message says what was given, what is allowed, and what to change. It names arguments as
    Python does, between backticks (`` `image_size` ``); the command line puts its options there.
    """
