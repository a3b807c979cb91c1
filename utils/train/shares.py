"""Measures on one batch how much each term of the loss moves the weights."""
import torch
from torch import nn

from model.losses import KSOFLoss
from utils.data.windows import Batch


def gradient_shares(network: nn.Module, criterion: KSOFLoss, batch: Batch) -> dict[str, float]:
    """Returns the gradient share of each addend of the loss, as 'share_' and its name.

    A share is the norm of the addend's gradient over the sum of these norms.
    The gradient is with respect to the network's weights.
    It is taken without dropout, and no running mean changes: a run trains on as if nothing was measured.

    network: the network in training; it is left in evaluation mode.
    criterion: the loss; it is left in training mode.
    batch: windows on which the gradients are taken.
    """
    network.eval()
    criterion.eval()
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    means = criterion.means(network(batch.observed, batch.coefficients), batch.future)
    norms = {}
    for name, addend in criterion.addends(means).items():
        gradients = torch.autograd.grad(addend, weights, retain_graph=True, allow_unused=True) \
            if addend.requires_grad else ()
        squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
        norms[name] = float(sum(squares)) ** 0.5
    criterion.train()
    whole = sum(norms.values()) or 1.0
    return {f'share_{name}': norm / whole for name, norm in norms.items()}
