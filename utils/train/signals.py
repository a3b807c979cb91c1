"""Remembers a request to stop until a step is done."""
import signal
import sys
from types import FrameType

from utils.common import distributed

# Ctrl-C, SIGTERM, a closed ssh window, and what Slurm or the like can be told to send before its time limit.
BY_HAND = (signal.SIGINT, signal.SIGTERM)
STOPPING = (*BY_HAND, signal.SIGHUP, signal.SIGUSR1)


class StopRequest:
    """Keeps the first of the stopping signals in `number` while entered.

    A second Ctrl-C or SIGTERM ends the program at once. Those that come by themselves, often twice or before
    another, do not: saving is not cut short by them. A signal that the program was started to ignore, as by
    nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> 'StopRequest':
        self.before = {number: signal.signal(number, self.remember) for number in STOPPING
                       if signal.getsignal(number) is not signal.SIG_IGN}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def remember(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            if number in BY_HAND and self.number in BY_HAND:
                raise KeyboardInterrupt
            return
        self.number = number
        if distributed.rank() == 0:
            when = 'after this step' if distributed.processes() == 1 else 'at the next log step'
            print(f'\nstopping {when}; once more to stop at once', file=sys.stderr)
