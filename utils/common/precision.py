"""Sets how exactly a GPU calculates. Training may trade digits for speed, evaluation never does."""
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

log = logging.getLogger('ksof')
CUDA_ONLY = ('amp', 'tf32')  # options that are off on other devices


def use_tf32(on: bool) -> None:
    """Makes float32 products and convolutions on CUDA use TF32, which has 10 bits of mantissa, or all 23.

    Both are set, as torch's own defaults differ between products and convolutions.
    """
    torch.set_float32_matmul_precision('high' if on else 'highest')
    torch.backends.cudnn.allow_tf32 = on


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Calls use_tf32(on) for the block. Products are exact after it."""
    use_tf32(on)
    try:
        yield
    finally:
        use_tf32(False)


def choose_precision(settings: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Makes products exact, and returns the settings that the device can follow.

    Without CUDA, --amp and --tf32 are switched off, with a warning.
    """
    use_tf32(False)
    left_out = [name for name in CUDA_ONLY if settings[name] and device.type != 'cuda']
    for name in left_out:
        log.warning('--%s is for CUDA: left out on %s', name, device)
    return dict(settings) | dict.fromkeys(left_out, False)
