"""How exactly a GPU calculates: training may be told to trade digits for speed, evaluation never does."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from model.ksof import Prediction


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


def predict_mixed(network: nn.Module, *views: Tensor, amp: bool) -> Prediction:
    """The network's predictions in float32, its products in bfloat16 if `amp`.

    bfloat16 has float32's range, so gradients need no scaling. Poses of a metre would be rounded to 4 mm in it: the
    network adds displacements to float32 poses, and the loss must be taken of what this returns, outside of autocast.
    """
    with torch.autocast(views[0].device.type, torch.bfloat16, enabled=amp):
        prediction = network(*views)
    return Prediction(*(part.float() for part in prediction))
