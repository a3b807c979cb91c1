"""Compares what a file holds, leaf by leaf, with what it must hold, before any of it is put to use."""
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LARGEST = 1e18  # of any number, so that its square is finite
# Last part of the names of tensors that hold nothing below 0.
NOT_NEGATIVE = ('running_var', 'num_batches_tracked', 'exp_avg_sq', 'step', 'steps', 'typical', 'bad_steps')


@dataclass(frozen=True)
class Number:
    """Stands in an expected structure for every number of a kind within bounds: int, or float, as which whole
    numbers count too.
    """

    kind: type
    least: float = 0
    most: float = LARGEST


@dataclass(frozen=True)
class Text:
    """Stands in an expected structure for every text that a pattern matches whole."""

    pattern: str


def check_like(found: Any, expected: Any, place: str, seen: dict[int, int] | None = None) -> None:
    """Compares a structure from a file with the expected one.

    Dictionaries have the same keys, lists the same length, and values the same type and value, except where a
    Number, a Text or Any is expected. Tensors have the same dtype, shape and strides, finite numbers, and
    memory of their own, or share it as the expected ones do.

    place: what the structure is called in messages.
    seen: storage of each tensor that was met before -> that of the expected one.
    Raises ValueError that names the first leaf that differs.
    """
    seen, wrong = {} if seen is None else seen, ''
    if expected is Any:
        return
    if isinstance(expected, Tensor):
        wrong = wrong_in_tensor(found, expected, place, seen)
    elif isinstance(expected, Number):
        # bool is no number here; NaN is within no bounds.
        if type(found) not in (int, expected.kind) or not expected.least <= found <= expected.most:
            wrong = f'{shown(found)}, expected {expected.least:g} to {expected.most:g}'
    elif isinstance(expected, Text):
        if type(found) is not str or not re.fullmatch(expected.pattern, found):
            wrong = f'{shown(found)}, expected a text'
    elif isinstance(expected, dict):
        if not isinstance(found, dict):
            wrong = f'{shown(found)}, expected a dictionary'
        elif odd := dict.keys(found) ^ expected.keys():
            some = ', '.join(sorted(shown(key) for key in odd)[:3])
            wrong = f'{some}: {len(odd)} missing or not known'
        else:
            for key, value in expected.items():
                check_like(found[key], value, f'{place}.{key}', seen)
    elif isinstance(expected, list | tuple):
        if type(found) is not type(expected) or len(found) != len(expected):
            wrong = f'{shown(found)}, expected a {type(expected).__name__} of {len(expected)}'
        else:
            for k, (one, value) in enumerate(zip(found, expected, strict=True)):
                check_like(one, value, f'{place}.{k}', seen)
    elif type(found) is not type(expected) or found != expected:
        wrong = f'{shown(found)}, expected {shown(expected)}'
    if wrong:
        raise ValueError(f'{place}: {wrong}')


def wrong_in_tensor(found: Any, expected: Tensor, place: str, seen: dict[int, int]) -> str:
    """Returns what is wrong with a tensor; nothing where it can be used in place of the expected one."""
    if type(found) is not Tensor:
        return f'{shown(found)}, expected a tensor'
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f'{shown(found)}, expected {shown(expected)}'
    if found.layout != torch.strided or found.is_neg() or found.requires_grad or (
            not found.is_contiguous() if expected.is_contiguous() else found.stride() != expected.stride()):
        return 'is no plain tensor, with its numbers one after the other'
    own = expected.untyped_storage()._cdata
    if found.numel() and seen.setdefault(found.untyped_storage().data_ptr(), own) != own:
        return 'has the memory of another tensor'
    if found.is_floating_point() and not bool((found.abs() <= LARGEST).all()):
        return f'holds a number that is not finite, or above {LARGEST:g}'
    if place.rpartition('.')[2] in NOT_NEGATIVE and bool((found < 0).any()):
        return 'holds a number below 0'
    return ''


def shown(value: Any) -> str:
    """Returns a value as a message says it, in a few words whatever it is."""
    if isinstance(value, Tensor):
        return f'a tensor of {str(value.dtype).removeprefix("torch.")} {tuple(value.shape)}'[:80]
    if value is None or type(value) in (bool, float):
        return str(value)
    if type(value) is str:
        return repr(value[:40])
    if type(value) is int:
        return str(value) if abs(value) < 10**20 else 'a huge whole number'
    return f'a {type(value).__name__}'
