"""Folds a trained network for export: fewer operations, the same predictions but for rounding."""
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from model.sgcn import GraphNorm, GraphStage


class FoldedStage(nn.Module):
    """Computes a `GraphStage` with batch normalisation in evaluation mode.

    A (X W + b) normalised is A X W times a scale plus a shift, both (N, H) and known before any pose is: the
    shift holds b, which the adjacency spreads by its rows' sums. onnxruntime takes longer to normalise N x H
    channels of one value each than for either product.
    """

    adjacency: Tensor
    weight: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, stage: GraphStage):
        super().__init__()
        conv, norm = stage.conv, stage.norm
        assert isinstance(norm, GraphNorm) and norm.running_var is not None and norm.running_mean is not None
        adjacency, bias = conv.adjacency.double(), conv.linear.bias.double()
        shape = adjacency.shape[0], bias.shape[0]
        scale = (norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()).view(shape)
        mean = norm.running_mean.double().view(shape)
        shift = norm.bias.double().view(shape) + scale * (adjacency.sum(1, keepdim=True) * bias - mean)
        self.register_buffer('adjacency', conv.adjacency)
        self.register_buffer('weight', conv.linear.weight.T.contiguous())
        self.register_buffer('scale', scale.float())
        self.register_buffer('shift', shift.float())
        self.activation = stage.activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, features_in) -> (B, N, features_out)."""
        y = torch.matmul(self.adjacency, torch.matmul(x, self.weight))
        return self.activation(y * self.scale + self.shift)


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Folds weight normalisation into the weights, and batch normalisation into the stages of the S-GCN.

    network: in evaluation mode; changed in place, and of no use for training afterwards.
    """
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, 'weight')
        for name, child in module.named_children():
            if isinstance(child, GraphStage) and isinstance(child.norm, GraphNorm):
                setattr(module, name, FoldedStage(child))
