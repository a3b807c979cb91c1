"""Averages the predictions of a window and of its mirror image: the symmetry average, not in the paper."""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.ksof import Prediction
from utils.data.augment import mirrored
from utils.data.skeleton import Skeleton


class SymmetryAverage(nn.Module):
    """Predicts a window and its mirror image in one batch and averages both, at twice the cost.

    network: a trained network in evaluation mode. Its weights are shared, not copied.
    mirror_index: (J,) for each predicted joint the one on the other side, counted among the predicted.
    """

    mirror_index: Tensor

    def __init__(self, network: nn.Module, mirror_index: Sequence[int]):
        super().__init__()
        self.network = network
        device = next(network.parameters()).device
        self.register_buffer('mirror_index', torch.tensor(mirror_index, device=device), persistent=False)

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> Prediction:
        """Averages the three predictions.

        observed: root-centred poses (B, T_in, N) in mm.
        coefficients: not used. The network computes those of the window and of its image.
        """
        image = mirrored(observed, self.mirror_index)
        both = self.network(torch.cat([observed, image]))  # (2 B, T_out, N) each
        views = (part.unflatten(0, (2, observed.shape[0])) for part in both)
        return Prediction(*((own + mirrored(seen, self.mirror_index)) / 2 for own, seen in views))


def scored_network(network: nn.Module, symmetry: str, skeleton: Skeleton) -> nn.Module:
    """Returns the network whose errors count.

    symmetry: 'off' for the given network, 'average' for its symmetry average, which shares its weights.
    """
    return network if symmetry == 'off' else SymmetryAverage(network, skeleton.predicted_mirror_index)
