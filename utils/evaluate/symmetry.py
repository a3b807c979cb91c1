"""The symmetry average: the mean prediction over a window and its mirror image. It is not in the paper."""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.ksof import Prediction
from utils.data.augment import mirrored
from utils.data.skeleton import Skeleton


class SymmetryAverage(nn.Module):
    """Predicts a window and its mirror image with one network and averages both, at twice the cost.

    network: a trained network in evaluation mode; its weights are shared, not copied.
    mirror_index: for each predicted joint the one on the other side of the body, (J,).
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
        coefficients: the same window's DCT coefficients (B, N, K), if they are at hand.
        """
        of_window = self.network(observed, coefficients)
        of_image = self.network(mirrored(observed, self.mirror_index), None)
        return Prediction(*((own + mirrored(seen, self.mirror_index)) / 2
                            for own, seen in zip(of_window, of_image, strict=True)))


def scored_network(network: nn.Module, symmetry: str, skeleton: Skeleton) -> nn.Module:
    """Returns the network whose errors count.

    symmetry: 'off' for the given network, 'average' for its symmetry average, which shares its weights.
    """
    return network if symmetry == 'off' else SymmetryAverage(network, skeleton.opposite_predicted)
