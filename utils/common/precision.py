"""How exactly a GPU calculates: training may be told to trade digits for speed, evaluation never does."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def use_tf32(on: bool) -> None:
    """float32 products and convolutions on CUDA with TF32's 10 bits of mantissa, or exact; torch mixes the two by default."""
    torch.set_float32_matmul_precision('high' if on else 'highest')
    torch.backends.cudnn.allow_tf32 = on


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """use_tf32(on) in the block, and exact after it."""
    use_tf32(on)
    try:
        yield
    finally:
        use_tf32(False)
