"""Remembers SIGTERM and Ctrl-C until a step is done."""
import signal
import sys
from types import FrameType

from utils.common import distributed


class StopRequest:
    """Keeps the first SIGTERM or Ctrl-C in `number` while entered; a second one ends the program at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> 'StopRequest':
        self.before = {number: signal.signal(number, self.remember) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def remember(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        if distributed.rank() == 0:
            when = 'after this step' if distributed.processes() == 1 else 'at the next log step'
            print(f'\nstopping {when}; once more to stop at once', file=sys.stderr)
