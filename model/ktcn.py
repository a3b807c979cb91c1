"""K-TCN, the temporal path: predicts velocities by dilated causal convolutions (KSOF section 3.2).

B windows, T_in observed and T_out predicted frames, N coordinates, C channels, L positions along the
convolution.
"""
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from model.dropout import Dropout

KERNEL = 2
BLOCKS = 4  # the figure's x4, with dilations 1, 2, 4, 8


def velocity(poses: Tensor) -> Tensor:
    """Returns the steps between frames, (B, T, N) -> (B, T, N). The first one is zero."""
    return torch.diff(poses, dim=1, prepend=poses[:, :1])


class CausalConv(nn.Module):
    """Convolves (B, C, L) with normalised weights. It sees the present position and earlier ones only."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int):
        super().__init__()
        self.past = (KERNEL - 1) * dilation
        self.conv = weight_norm(nn.Conv1d(channels_in, channels_out, KERNEL, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.past, 0)))


class TemporalBlock(nn.Module):
    """Two causal convolutions, each with ReLU and dropout, and a residual.

    The residual is a 1x1 convolution where the widths differ.
    """

    def __init__(self, channels_in: int, channels_out: int, *, dilation: int, dropout: float):
        super().__init__()
        self.body = nn.Sequential(
            CausalConv(channels_in, channels_out, dilation), nn.ReLU(), Dropout(dropout),
            CausalConv(channels_out, channels_out, dilation), nn.ReLU(), Dropout(dropout),
        )
        self.skip = nn.Identity() if channels_in == channels_out else nn.Conv1d(channels_in, channels_out, 1)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.skip(x))


class KTCN(nn.Module):
    """Predicts velocities and integrates them from the last observed pose.

    node_n, input_n, output_n: N, T_in, T_out.
    width: channels of the blocks.
    axis: along what the convolutions slide. 'time': coordinates are channels. 'coordinates': frames are
        channels, as in the released code.
    """

    def __init__(self, *, node_n: int, input_n: int, output_n: int, width: int, dropout: float,
                 axis: str = 'time'):
        super().__init__()
        self.axis = axis
        channels, length = (node_n, input_n) if axis == 'time' else (input_n, node_n)
        self.embedding = nn.Conv1d(channels, width, 1)
        self.blocks = nn.Sequential(
            *(TemporalBlock(width, width, dilation=2**i, dropout=dropout) for i in range(BLOCKS))
        )
        # Along time a linear map takes observed frames to predicted ones; along coordinates channels do.
        self.future = nn.Linear(length, output_n) if axis == 'time' else nn.Identity()
        self.projection = nn.Conv1d(width, node_n if axis == 'time' else output_n, 1)
        nn.init.zeros_(self.projection.weight)  # an untrained path predicts the last pose
        nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]

    def forward(self, observed: Tensor) -> Tensor:
        """Observed poses (B, T_in, N) in mm -> predicted poses (B, T_out, N) in mm."""
        features = self.features(velocity(observed))
        future_velocity = self.project(features)
        return observed[:, -1:] + future_velocity.cumsum(dim=1)

    def features(self, velocities: Tensor) -> Tensor:
        """(B, T_in, N) velocities -> (B, C, L) features. Position l sees positions up to l."""
        x = velocities.transpose(1, 2) if self.axis == 'time' else velocities  # (B, C, L)
        return self.blocks(self.embedding(x))

    def project(self, features: Tensor) -> Tensor:
        """(B, C, L) features -> (B, T_out, N) velocities in mm per frame."""
        x = self.projection(self.future(features))
        return x.transpose(1, 2) if self.axis == 'time' else x
