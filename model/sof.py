"""SOF, the spatio-temporal optimal fusion of the two paths (KSOF section 3.4), and the gates before it.

B windows, T predicted frames, N coordinates. Displacements are from the last observed pose, in mm.
"""
import torch
from torch import Tensor, nn

KERNELS = (7, 5, 3)  # of the three convolutions along time
SQUEEZE = 4  # reduction of the squeeze-and-excitation
MLP_WIDTH = 4  # hidden units of the MLP for each coordinate
UNIT_MM = 50.0  # a typical displacement; in this unit what SOF sees is of order one


class FrameGate(nn.Module):
    """Weights the frames of a path by squeeze-and-excitation: a gate in (0, 1) for each frame and window.

    What is squeezed is each frame's mean magnitude, normalised over the windows. The mean of signed
    coordinates is near zero whatever the motion; magnitudes as they are have one sign, and the units that see
    them shut for ever.

    frames: predicted frames T.
    """

    def __init__(self, frames: int):
        super().__init__()
        hidden = max(2, frames // SQUEEZE)
        self.norm = nn.BatchNorm1d(frames, affine=False)
        self.squeeze = nn.Linear(frames, hidden, bias=False)
        self.activation = nn.LeakyReLU(0.01)
        self.excite = nn.Linear(hidden, frames, bias=False)
        nn.init.zeros_(self.excite.weight)  # every gate starts at one half

    def forward(self, displacement: Tensor) -> Tensor:
        """(B, T, N) displacements in mm -> the same, each frame times its gate."""
        return displacement * self.gates(displacement).unsqueeze(2)

    def gates(self, displacement: Tensor) -> Tensor:
        """(B, T, N) displacements in mm -> (B, T) gates."""
        size = self.norm(displacement.abs().mean(dim=2))
        return torch.sigmoid(self.excite(self.activation(self.squeeze(size))))


def top_k(x: Tensor, k: int, how: str) -> Tensor:
    """Keeps the k strongest of each frame's C responses.

    x: (B, C, T) responses.
    how: 'signed', the largest values stay in their channels and the others become zero; 'magnitude', the same
        by absolute value; 'packed', the largest values alone, sorted, as (B, k, T); 'off', all.
    """
    if how == 'off':
        return x
    if how == 'packed':
        return x.topk(k, dim=1).values
    kept = (x.abs() if how == 'magnitude' else x).topk(k, dim=1).indices
    return torch.zeros_like(x).scatter(1, kept, x.gather(1, kept))


class SOF(nn.Module):
    """Corrects the sum of the two gated paths.

    A chain of three stages, each a ReLU and a convolution along time. TOP-K of every stage's output goes
    beside the chain into an MLP over the channels of each frame, together with a 1x1 convolution of the
    input.

    node_n: coordinates N; TOP-K keeps N / 2 responses of a frame.
    topk: see `top_k`; or 'inside', the signed TOP-K that feeds the next stage too.
    """

    def __init__(self, *, node_n: int, topk: str = 'signed'):
        super().__init__()
        self.topk, self.k = topk, max(1, node_n // 2)
        pooled = self.k if topk == 'packed' else node_n
        self.stages = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv1d(channels, node_n, kernel, padding=kernel // 2))
            for channels, kernel in zip((2 * node_n, node_n, node_n), KERNELS, strict=True)
        )
        self.skip = nn.Conv1d(2 * node_n, node_n, 1)
        self.mlp = nn.Sequential(nn.Linear(node_n + len(KERNELS) * pooled, MLP_WIDTH * node_n), nn.GELU(),
                                 nn.Linear(MLP_WIDTH * node_n, node_n))
        last = self.mlp[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]  # an untrained fusion corrects nothing
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Two gated displacements (B, T, N) in mm -> correction (B, T, N) in mm."""
        both = torch.cat([temporal, spatial], dim=2).transpose(1, 2) / UNIT_MM  # (B, 2N, T)
        features = [self.skip(both)]
        x = both
        for stage in self.stages:
            x = stage(x)  # (B, N, T)
            strongest = top_k(x, self.k, 'signed' if self.topk == 'inside' else self.topk)
            x = strongest if self.topk == 'inside' else x
            features.append(strongest)
        correction = self.mlp(torch.cat(features, dim=1).transpose(1, 2))  # (B, C, T) -> (B, T, N)
        return UNIT_MM * correction
