"""Exceptions whose text is meant for the person at the terminal."""


class InputError(ValueError):
    """Something given to the program cannot be used. The message is one line: what, where, what to do."""


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite. The message is one line with the loss terms."""


class Stopped(Exception):
    """Training was stopped by a signal after saving. `number` is the signal's."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.number = number
