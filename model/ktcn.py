"""K-TCN, the temporal path: velocities through dilated causal convolutions, then integrated back to poses (KSOF section 3.2)."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from model.dropout import Dropout

KERNEL = 2
BLOCKS = 4  # the figure's x4, with dilations 1, 2, 4, 8


def velocity(poses: Tensor) -> Tensor:
    """(B, T, N) poses -> (B, T, N) steps between frames, the first one zero."""
    return torch.diff(poses, dim=1, prepend=poses[:, :1])


class CausalConv(nn.Module):
    """Weight-normalised convolution of (B, C, L) that sees the present position and earlier ones only."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int):
        super().__init__()
        self.past = (KERNEL - 1) * dilation
        self.conv = weight_norm(nn.Conv1d(channels_in, channels_out, KERNEL, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.past, 0)))


class TemporalBlock(nn.Module):
    """Two causal convolutions with ReLU and dropout, and a residual (1x1 convolution where the widths differ)."""

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

    node_n coordinates, input_n observed and output_n predicted frames, width channels. `axis` says along what the
    convolutions slide: 'time' (coordinates are channels) or 'coordinates' (frames are channels: the released code).
    """

    def __init__(self, *, node_n: int, input_n: int, output_n: int, width: int, dropout: float, axis: str = 'time'):
        super().__init__()
        self.axis = axis
        channels, length = (node_n, input_n) if axis == 'time' else (input_n, node_n)
        self.embedding = nn.Conv1d(channels, width, 1)
        self.blocks = nn.Sequential(
            *(TemporalBlock(width, width, dilation=2**i, dropout=dropout) for i in range(BLOCKS))
        )
        # Along time the observed frames are mapped to the predicted ones first; along coordinates frames are channels.
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
        """(B, T_in, N) velocities -> (B, width, L) features, L along self.axis; position l sees positions up to l."""
        x = velocities.transpose(1, 2) if self.axis == 'time' else velocities  # (B, C, L)
        return self.blocks(self.embedding(x))

    def project(self, features: Tensor) -> Tensor:
        """(B, width, L) features -> (B, T_out, N) velocities in mm per frame."""
        x = self.projection(self.future(features))
        return x.transpose(1, 2) if self.axis == 'time' else x
