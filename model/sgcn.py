"""S-GCN, the spatial path: graph convolutions over the coordinates' DCT coefficients (KSOF section 3.3)."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.dropout import Dropout

MIDDLE_BLOCKS = 3


class GraphConv(nn.Module):
    """A learned adjacency over N nodes and a weight matrix over their features: A X W + b."""

    def __init__(self, node_n: int, features_in: int, features_out: int):
        super().__init__()
        self.adjacency = nn.Parameter(torch.eye(node_n) + torch.empty(node_n, node_n).uniform_(-1, 1) / node_n)
        self.linear = nn.Linear(features_in, features_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, features_in) -> (B, N, features_out)."""
        y = self.linear(x)
        return torch.bmm(self.adjacency.expand(y.shape[0], -1, -1), y)  # bmm: a quarter faster than a broadcast matmul here


class GraphStage(nn.Module):
    """Graph convolution, normalisation, LeakyReLU, dropout.

    norm: 'batch', over nodes x features; 'layer', over the features of each node (not in the paper).
    """

    def __init__(self, node_n: int, features_in: int, features_out: int, dropout: float, norm: str):
        super().__init__()
        self.conv = GraphConv(node_n, features_in, features_out)
        self.norm = nn.BatchNorm1d(node_n * features_out) if norm == 'batch' else nn.LayerNorm(features_out)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.dropout(F.leaky_relu(self.normalised(y), 0.01, inplace=True)).view_as(y)

    def normalised(self, y: Tensor) -> Tensor:
        """(B, N, H) -> that or (B, N H); not a view, on which the work in place that follows is slow."""
        if isinstance(self.norm, nn.LayerNorm):
            return self.norm(y)
        return self.norm(y.flatten(1)) if self.training else fixed_norm(self.norm, y.flatten(1))


def fixed_norm(norm: nn.BatchNorm1d, y: Tensor) -> Tensor:
    """A batch norm in evaluation, as one multiplication and addition: about half of torch's time on a processor."""
    scale = norm.weight * torch.rsqrt(norm.get_buffer('running_var') + norm.eps)
    return torch.addcmul(norm.bias - norm.get_buffer('running_mean') * scale, y, scale)


class GraphBlock(nn.Module):
    """Two graph stages and a residual."""

    def __init__(self, node_n: int, width: int, dropout: float, norm: str):
        super().__init__()
        self.body = nn.Sequential(*(GraphStage(node_n, width, width, dropout, norm) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SGCN(nn.Module):
    """Changes of the window's DCT coefficients, in 2 x num_gcn + 5 stages: one in, num_gcn blocks down, three in the
    middle, num_gcn up (each adding the output of the matching block down), one out. width is H, features per node."""

    def __init__(self, *, node_n: int, dct_n: int, num_gcn: int, width: int, dropout: float, norm: str = 'batch'):
        super().__init__()
        self.first = GraphStage(node_n, dct_n, width, dropout, norm)
        self.down = nn.ModuleList(GraphBlock(node_n, width, dropout, norm) for _ in range(num_gcn))
        self.middle = nn.Sequential(*(GraphBlock(node_n, width, dropout, norm) for _ in range(MIDDLE_BLOCKS)))
        self.up = nn.ModuleList(GraphBlock(node_n, width, dropout, norm) for _ in range(num_gcn))
        self.last = GraphConv(node_n, width, dct_n)
        nn.init.zeros_(self.last.linear.weight)  # an untrained path changes nothing
        nn.init.zeros_(self.last.linear.bias)

    def forward(self, coefficients: Tensor) -> Tensor:
        """DCT coefficients (B, N, K) in mm -> how much the predicted window's coefficients differ, (B, N, K) in mm."""
        x = self.first(coefficients)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.middle(x)
        for block in self.up:
            x = block(x + skips.pop())
        return self.last(x)
