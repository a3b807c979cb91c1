"""siMLPe as a network of one's own: --network examples/simlpe.py:SiMLPe in a main.

Guo, Du, Shen, Lepetit, Alameda-Pineda, Moreno-Noguer: Back to MLP: A Simple Baseline for Human Motion
Prediction, WACV 2023. Written from the paper: DCT of the observed frames, a fully connected layer over
coordinates, 48 blocks of a fully connected layer over time with layer norm and a residual, another layer over
coordinates, inverse DCT. What comes out is added to the last observed pose. Lengths are in metres within. The
authors' code adds the blocks' input to their output once more, little else than another scale of the first
layer.

The network gives as many frames as it observes, of which the first output_n count. Where more are wanted, it
takes its predictions as observed poses, as the paper does for 25 frames of Human3.6M; here in training too.
"""
import torch
from torch import Tensor, nn

from model.dct import dct_matrix

BLOCKS = 48
MM = 1000.0  # in a metre


class TemporalBlock(nn.Module):
    """Adds a fully connected layer over time, with layer norm over the coordinates of a frame."""

    def __init__(self, node_n: int, frames: int):
        super().__init__()
        self.time, self.norm = nn.Linear(frames, frames), nn.LayerNorm(node_n)
        nn.init.xavier_uniform_(self.time.weight, gain=1e-8)
        nn.init.zeros_(self.time.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, N) -> (B, T, N)."""
        return x + self.norm(self.time(x.transpose(1, 2)).transpose(1, 2))


class SiMLPe(nn.Module):
    """Predicts poses by fully connected layers alone.

    node_n, input_n, output_n: coordinates, observed and predicted frames.
    """

    basis: Tensor

    def __init__(self, *, node_n: int, input_n: int, output_n: int):
        super().__init__()
        self.output_n = output_n
        self.register_buffer('basis', dct_matrix(input_n, input_n), persistent=False)
        self.first, self.last = nn.Linear(node_n, node_n), nn.Linear(node_n, node_n)
        self.blocks = nn.Sequential(*(TemporalBlock(node_n, input_n) for _ in range(BLOCKS)))
        nn.init.xavier_uniform_(self.last.weight, gain=1e-8)
        nn.init.zeros_(self.last.bias)

    def forward(self, observed: Tensor) -> Tensor:
        """Observed poses (B, T_in, N) in mm -> predicted ones (B, T_out, N) in mm."""
        poses, frames = observed / MM, observed.shape[1]
        while poses.shape[1] < frames + self.output_n:
            seen = poses[:, -frames:]
            displacement = self.basis.T @ self.last(self.blocks(self.first(self.basis @ seen)))
            poses = torch.cat([poses, seen[:, -1:] + displacement], dim=1)
        return MM * poses[:, frames : frames + self.output_n]
