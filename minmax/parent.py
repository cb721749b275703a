"""Ends child processes together with their parent.

If rank 0 is killed, the other ranks would wait for it: for minutes at the rendezvous, for half an
hour in a collective operation.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "MINMAX_PARENT"
"""Environment variable: the parent's process id."""
LOOKED_EVERY = 1.0
"""Seconds between two looks at the parent."""


@contextmanager
def children_follow() -> Iterator[None]:
    """Have processes started in the block end with this one."""
    os.environ[NAME] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(NAME, None)


def end_with_parent() -> None:
    """Watch the parent from a thread, if there is one, and exit when it ends.

    No clean-up is needed: files are written beside their places and then moved.
    """
    parent = os.environ.pop(NAME, "")
    if not parent or int(parent) == os.getpid():
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(LOOKED_EVERY)
        print("error: the process that started this one has ended", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
