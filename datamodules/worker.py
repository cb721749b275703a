"""A process that decodes: it reads numbers of chunks from its input until that ends.

So it ends when the process that started it does, even by a crash. It is no child of
`multiprocessing`, which would run the user's script again.
"""

import json
import os
import pickle
import sys
from typing import Any

from datamodules.chunks import Job
from datamodules.decode import own_limit


def main() -> None:
    """Make the chunk of each line, and answer with a line of JSON."""
    stream = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    job: Job = pickle.load(stream)
    with own_limit():
        for line in stream:
            answer: dict[str, Any]
            try:
                digest, broken = job.make(int(line))
                answer = {"digest": digest, "broken": list(broken.items())}
            except OSError as error:  # of the prepared file
                answer = {"error": [error.errno, error.strerror, str(error.filename or "")]}
            try:
                print(json.dumps(answer), file=answers, flush=True)
            except BrokenPipeError:  # the process that asked was killed
                os._exit(1)
