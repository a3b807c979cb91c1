"""S-GCN, the spatial path: graph convolutions over the coordinates' DCT coefficients (KSOF section 3.3).

B windows, N coordinates (the nodes of the graph), H features a node, K coefficients.
"""
import torch
from torch import Tensor, nn

from model.dropout import Dropout

SLOPE = 0.01  # of every LeakyReLU
# Blocks down and up beyond num_gcn; blocks in the middle; whether the first stage's output enters the last.
WIRINGS = {'released': (1, 1, True), 'inner': (0, 3, False)}


class GraphConv(nn.Module):
    """A learned adjacency A over N nodes and a weight matrix W over their features: A (X W + b)."""

    def __init__(self, node_n: int, features_in: int, features_out: int):
        super().__init__()
        near_identity = torch.eye(node_n) + torch.empty(node_n, node_n).uniform_(-1, 1) / node_n
        self.adjacency = nn.Parameter(near_identity)
        self.linear = nn.Linear(features_in, features_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, features_in) -> (B, N, features_out)."""
        y = self.linear(x)
        # A batched product is a quarter faster on a CPU than a broadcast one.
        return torch.bmm(self.adjacency.expand(y.shape[0], -1, -1), y)


class GraphNorm(nn.BatchNorm1d):
    """Batch normalisation of every feature of every node: (B, N, H) -> (B, N, H)."""

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y.flatten(1)).view_as(y)


class GraphStage(nn.Module):
    """Graph convolution, normalisation, LeakyReLU, dropout: (B, N, features_in) -> (B, N, features_out).

    norm: 'batch', over nodes x features; 'layer', over the features of each node (not in the paper).
    """

    def __init__(self, node_n: int, features_in: int, features_out: int, dropout: float, norm: str):
        super().__init__()
        self.conv = GraphConv(node_n, features_in, features_out)
        self.norm = GraphNorm(node_n * features_out) if norm == 'batch' else nn.LayerNorm(features_out)
        self.activation = nn.LeakyReLU(SLOPE)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.activation(self.norm(self.conv(x))))


class GraphBlock(nn.Module):
    """Two graph stages and a residual."""

    def __init__(self, node_n: int, width: int, dropout: float, norm: str):
        super().__init__()
        self.body = nn.Sequential(*(GraphStage(node_n, width, width, dropout, norm) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SGCN(nn.Module):
    """Predicts changes of a window's DCT coefficients by 2 x num_gcn + 5 stages with U-shaped skips.

    Stages as released: one in, num_gcn + 1 blocks down, one in the middle, num_gcn + 1 up, one out. Each
    block up takes the sum of what comes from below and the output of the matching block down; the last stage
    takes the first one's too.

    node_n: coordinates N.
    dct_n: coefficients K.
    width: features of a node H.
    norm: see `GraphStage`.
    wiring: 'released', or 'inner': num_gcn blocks down and up, three in the middle, and no skip around all of
        them.
    """

    def __init__(self, *, node_n: int, dct_n: int, num_gcn: int, width: int, dropout: float,
                 norm: str = 'batch', wiring: str = 'released'):
        super().__init__()
        more, middle, self.outermost = WIRINGS[wiring]

        def blocks(count: int) -> list[GraphBlock]:
            return [GraphBlock(node_n, width, dropout, norm) for _ in range(count)]

        self.first = GraphStage(node_n, dct_n, width, dropout, norm)
        self.down = nn.ModuleList(blocks(num_gcn + more))
        self.middle = nn.Sequential(*blocks(middle))
        self.up = nn.ModuleList(blocks(num_gcn + more))
        self.last = GraphConv(node_n, width, dct_n)
        nn.init.zeros_(self.last.linear.weight)  # an untrained path changes nothing
        nn.init.zeros_(self.last.linear.bias)

    def forward(self, coefficients: Tensor) -> Tensor:
        """DCT coefficients (B, N, K) in mm -> their changes in the predicted window, (B, N, K) in mm."""
        x = first = self.first(coefficients)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.middle(x)
        for block in self.up:
            x = block(x + skips.pop())
        return self.last(x + first if self.outermost else x)
