"""How exactly a GPU calculates: training may be told to trade digits for speed, evaluation never does."""
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

log = logging.getLogger('ksof')


def use_tf32(on: bool) -> None:
    """Sets float32 products and convolutions on CUDA to TF32's 10 bits of mantissa, or to exact.

    torch mixes the two by default.
    """
    torch.set_float32_matmul_precision('high' if on else 'highest')
    torch.backends.cudnn.allow_tf32 = on


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Calls use_tf32(on) for the block; products are exact after it."""
    use_tf32(on)
    try:
        yield
    finally:
        use_tf32(False)


def choose_precision(settings: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Makes products exact, and returns the settings without --amp and --tf32, with a warning, where there is no CUDA."""
    use_tf32(False)
    left_out = [name for name in ('amp', 'tf32') if settings[name] and device.type != 'cuda']
    for name in left_out:
        log.warning('--%s is for CUDA: left out on %s', name, device)
    return dict(settings) | dict.fromkeys(left_out, False)
