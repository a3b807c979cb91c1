"""The two predictors that need no training; both take what the network takes."""
import torch
from torch import Tensor, nn


class ZeroVelocity(nn.Module):
    """The last observed pose, held."""

    def __init__(self, output_n: int):
        super().__init__()
        self.output_n = output_n

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> Tensor:
        """(B, T_in, N) -> (B, T_out, N)."""
        return observed[:, -1:].expand(-1, self.output_n, -1)


class ConstantVelocity(nn.Module):
    """The last observed step, repeated."""

    steps: Tensor

    def __init__(self, output_n: int):
        super().__init__()
        self.register_buffer('steps', torch.arange(1, output_n + 1).view(1, -1, 1), persistent=False)

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> Tensor:
        """(B, T_in, N) -> (B, T_out, N)."""
        return observed[:, -1:] + self.steps * (observed[:, -1:] - observed[:, -2:-1])
