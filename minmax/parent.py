"""Processes that work for another one end with it, whatever they are doing.

A rank whose first process is killed would wait for it: for minutes at the rendezvous, for half an
hour in a collective operation.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "MINMAX_PARENT"
"""Environment variable: the process that its children work for."""
LOOKED_EVERY = 1.0
"""Seconds."""


@contextmanager
def children_follow() -> Iterator[None]:
    """Let the processes that are started meanwhile end with this one."""
    os.environ[NAME] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(NAME, None)


def end_with_parent() -> None:
    """Watch the process that this one works for, if there is one, from a thread.

    Nothing is cleaned up at the end: files are written beside their places and then moved.
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
