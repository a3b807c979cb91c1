"""SOF, the spatio-temporal optimal fusion of the two paths (KSOF section 3.4)."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNELS = (7, 5, 3)
SQUEEZE = 4  # reduction of the squeeze-and-excitation


class FrameGate(nn.Module):
    """Squeeze-and-excitation over frames: one weight in (0, 1) per predicted frame, from the frames' mean magnitudes."""

    def __init__(self, frames: int):
        super().__init__()
        self.squeeze = nn.Linear(frames, max(1, frames // SQUEEZE))
        self.excite = nn.Linear(max(1, frames // SQUEEZE), frames)
        # Magnitudes are never negative: positive weights keep every unit of the squeeze alive at first.
        nn.init.uniform_(self.squeeze.weight, 0, 1 / frames)
        nn.init.zeros_(self.excite.weight)  # every gate starts at one half
        nn.init.zeros_(self.excite.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, N) -> (B, T, N), each frame scaled by its gate."""
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(x.abs().mean(dim=2)))))  # (B, T)
        return x * gates.unsqueeze(2)


def top_k(responses: Tensor, k: int, mode: str) -> Tensor:
    """Keep the k responses of largest magnitude in every frame.

    responses: (B, C, T). mode 'in_place' zeroes the others, (B, C, T); 'packed' orders the kept by falling strength,
    (B, k, T); 'off' keeps all.
    """
    if mode == 'off':
        return responses
    index = responses.abs().topk(k, dim=1).indices
    kept = responses.gather(1, index)
    return kept if mode == 'packed' else torch.zeros_like(responses).scatter(1, index, kept)


class SOF(nn.Module):
    """Multi-scale fusion of two (B, T, N) predictions into a correction (B, T, N).

    Three stages of ReLU, convolution along time and TOP-K (k = N / 2); their outputs and a 1x1 skip of the input go
    through an MLP over the channels of each frame.
    """

    def __init__(self, *, node_n: int, topk: str = 'in_place'):
        super().__init__()
        self.topk, self.k = topk, max(1, node_n // 2)
        pooled = self.k if topk == 'packed' else node_n
        widths = [2 * node_n] + [pooled] * len(KERNELS)
        self.stages = nn.ModuleList(
            nn.Conv1d(width, node_n, kernel, padding=kernel // 2)
            for width, kernel in zip(widths, KERNELS, strict=False)
        )
        self.skip = nn.Conv1d(2 * node_n, node_n, 1)
        self.mlp = nn.Sequential(
            nn.Linear(len(KERNELS) * pooled + node_n, 2 * node_n), nn.ReLU(), nn.Linear(2 * node_n, node_n)
        )
        nn.init.zeros_(self.mlp[-1].weight)  # type: ignore[arg-type]  # an untrained fusion corrects nothing
        nn.init.zeros_(self.mlp[-1].bias)  # type: ignore[arg-type]

    def forward(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Two gated path predictions (B, T, N) in mm -> correction (B, T, N) in mm."""
        both = torch.cat([temporal, spatial], dim=2).transpose(1, 2)  # (B, 2N, T)
        features = [self.skip(both)]
        x = both
        for conv in self.stages:
            x = top_k(conv(F.relu(x)), self.k, self.topk)
            features.append(x)
        return self.mlp(torch.cat(features, dim=1).transpose(1, 2))  # (B, T, C)
