"""Measures what works inside a trained network: active units, moving gates, and what each part is worth.

B windows, T predicted frames, N coordinates.
"""
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.ksof import KSOF
from model.losses import joint_distances
from model.sof import FrameGate
from utils.data.windows import Batch

# Below these limits a part is called dead.
LEAST_UNITS = 0.2  # share of a layer's units that are ever on
LEAST_SPREAD = 0.01  # standard deviation of a gate over windows
LEAST_COST = 0.005  # share by which the error grows when a part is taken out
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU)


class Liveness(NamedTuple):
    """Measurements on one batch of windows and, for `errors`, on a whole split.

    units: activation layer -> share of its units that are on in at least one window and frame.
    gates: path -> mean of its gates, and their standard deviation over windows. Both are means over frames.
    correction_mm: mean length of SOF's correction of a joint.
    displacement_mm: mean length of the predicted displacement of a joint.
    errors: MPJPE in mm of the whole network, 'whole', and of the network without each part.
    """

    units: dict[str, float]
    gates: dict[str, tuple[float, float]]
    correction_mm: float
    displacement_mm: float
    errors: dict[str, float]

    def dead(self) -> list[str]:
        """Returns one line for each part that does nothing, by the limits above."""
        lines = [f'{layer}: {100 * share:.0f}% of its units are ever on'
                 for layer, share in self.units.items() if share < LEAST_UNITS]
        lines += [f'gate of the {path}: spread {spread:.4f} over windows'
                  for path, (_, spread) in self.gates.items() if spread < LEAST_SPREAD]
        return lines + [f'{part}: taking it out changes the error by {100 * self.cost(part):+.2f}%'
                        for part in ('K-TCN', 'S-GCN', 'SOF')
                        if part in self.errors and self.cost(part) < LEAST_COST]

    def cost(self, part: str) -> float:
        """Returns the share by which the error grows without a part."""
        return self.errors[part] / self.errors['whole'] - 1


def look_inside(network: KSOF, batch: Batch, error: Callable[[], float]) -> Liveness:
    """Measures a trained network on one batch, and its error with each part taken out.

    network: in evaluation mode, with both paths. It is left as it was.
    error: returns the MPJPE in mm of what is scored: this network, or its symmetry average.
    """
    with torch.inference_mode():
        correction, displacement = (joint_distances(x, torch.zeros_like(x)).mean().item()
                                    for x in correction_of(network, batch))
        errors = {'whole': error()}
        for part, taken_out in parts(network, batch).items():
            with taken_out:
                errors[part] = error()
        return Liveness(active_units(network, batch), gates_of(network, batch), correction, displacement,
                        errors)


def active_units(network: nn.Module, batch: Batch) -> dict[str, float]:
    """Returns for each activation layer the share of units that are on at least once in the batch.

    A unit is on where its input is above zero.
    A unit is one of these:
    - a channel of a convolution (B, C, T)
    - a feature of a node (B, N, H) in the S-GCN
    - an entry of the last dimension elsewhere
    """
    on: dict[str, Tensor] = {}

    def remember(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], __: Tensor) -> None:
            fired = given[0] > 0
            if name.startswith(('ktcn', 'fusion.stages')):
                fired = fired.transpose(1, 2)  # (B, C, T) -> (B, T, C)
            ever = fired.any(0) if name.startswith('sgcn') else fired.flatten(0, -2).any(0)
            on[name] = on.get(name, torch.zeros_like(ever)) | ever
        return hook

    hooks = [module.register_forward_hook(remember(name)) for name, module in network.named_modules()
             if isinstance(module, ACTIVATIONS)]
    try:
        network(batch.observed, batch.coefficients)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: ever.float().mean().item() for name, ever in on.items()}


def displacements(network: KSOF, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns both paths' predicted displacements (B, T, N) in mm from the last observed pose."""
    prediction, last = network(batch.observed, batch.coefficients), batch.observed[:, -1:]
    return prediction.temporal - last, prediction.spatial - last


def gates_of(network: KSOF, batch: Batch) -> dict[str, tuple[float, float]]:
    """Returns for each path the mean of its gates and their standard deviation over windows.

    Both are means over the frames. There is nothing in a network without gates.
    """
    if not isinstance(network.gate, FrameGate):
        return {}
    gates = [network.gate.gates(path) for path in displacements(network, batch)]  # (B, T) each
    return {name: (of_path.mean().item(), of_path.std(0).mean().item())
            for name, of_path in zip(('K-TCN', 'S-GCN'), gates, strict=True)}


def correction_of(network: KSOF, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns SOF's correction and the fused displacement, (B, T, N) each, mm."""
    paths = displacements(network, batch)
    fused = network.fuse(*paths)
    with replaced(network, 'fusion', None):
        return fused - network.fuse(*paths), fused


class ConstantGate(nn.Module):
    """Weights a frame by the same gate in every window.

    gates: (2, T) those of the K-TCN, then of the S-GCN.
    """

    of_paths: Tensor

    def __init__(self, gates: Tensor):
        super().__init__()
        self.register_buffer('of_paths', gates)

    def forward(self, displacement: Tensor) -> Tensor:
        """Returns the displacements (2 B, T, N) of both paths, gated."""
        return displacement * self.of_paths.repeat_interleave(len(displacement) // 2, dim=0).unsqueeze(2)


def parts(network: KSOF, batch: Batch) -> dict[str, AbstractContextManager[None]]:
    """Returns for each part a context in which the network is without it.

    Without a path, the other one's own prediction is the fused one.
    Without 'gates that move', each gate is its mean over the batch.
    """
    contexts: dict[str, AbstractContextManager[None]]
    contexts = {'K-TCN': replaced(network, 'fuse', lambda temporal, spatial: spatial),
                'S-GCN': replaced(network, 'fuse', lambda temporal, spatial: temporal)}
    if isinstance(network.gate, FrameGate):
        means = torch.stack([network.gate.gates(path).mean(0) for path in displacements(network, batch)])
        contexts['gates that move'] = replaced(network, 'gate', ConstantGate(means))
    if network.fusion is not None:
        contexts['SOF'] = replaced(network, 'fusion', None)
        if network.fusion.topk != 'packed':
            contexts['convolutions of SOF'] = replaced(network.fusion, 'k', 0)
        if network.fusion.topk in ('signed', 'magnitude'):
            contexts['TOP-K'] = replaced(network.fusion, 'topk', 'off')
    return contexts


@contextmanager
def replaced(owner: nn.Module, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute of a module for the block."""
    own = name in vars(owner) or name in owner._modules
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before) if own else delattr(owner, name)
