"""Writes tests/golden/network.json: what the network and the paper's loss make of seeded weights and windows.

    python tests/golden/make_network.py

Run it only where the network is meant to compute something else from now on.
It prints every value that changed.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from seeded import (  # noqa: E402
    NODE_N,
    OUTPUT_N,
    draw_for,
    exact_transform,
    seed_network,
    seeded_motion,
    sizes,
)

from model.ksof import KSOF  # noqa: E402
from model.losses import KSOFLoss  # noqa: E402

PATH = Path(__file__).with_name('network.json')
WINDOWS = 6


def summary(name, values):
    """Six numbers that tell of a change in any of (B, T, N): three sums with random weights, three values."""
    values = values.detach().numpy()
    weights = draw_for(f'weights of {name}', 0).normal(0, values.size**-0.5, (3, *values.shape))
    few = values[[0, 2, -1], [0, 3, -1], [0, 7, -1]]
    return [*np.tensordot(weights, values, axes=values.ndim).tolist(), *few.tolist()]


def pinned(dataset):
    """Predictions in evaluation and in training, the loss, and the norm of every parameter's gradient."""
    torch.manual_seed(0)
    network = exact_transform(seed_network(KSOF(**sizes(dataset))), 10, OUTPUT_N[dataset])
    criterion = KSOFLoss().double()
    torch.nn.init.constant_(criterion.log_a, 1.5)
    torch.nn.init.constant_(criterion.log_b, 3.5)
    motion = seeded_motion(dataset, WINDOWS, 10 + OUTPUT_N[dataset])
    observed, future = motion[:, :10], motion[:, 10:]
    found = {}
    for mode in ('evaluation', 'training'):
        prediction = network.train(mode == 'training')(observed)
        found |= {f'{mode}: {name}': summary(name, part) for name, part in prediction._asdict().items()}
    terms = criterion(prediction, future)
    terms.total.backward()
    found |= {f'loss: {name}': value.item() for name, value in terms._asdict().items()}
    for part in (network, criterion):
        found |= {f'gradient: {name}': parameter.grad.norm().item()
                  for name, parameter in part.named_parameters()}
    norms = {name: buffer for name, buffer in network.named_buffers() if 'running' in name}
    return found | {f'after a step: {name}': buffer.norm().item() for name, buffer in norms.items()}


def main():
    torch.set_num_threads(1)
    before = json.loads(PATH.read_text()) if PATH.exists() else {}
    now = {dataset: pinned(dataset) for dataset in NODE_N}
    changed = 0
    for dataset, values in now.items():
        old = before.get(dataset, {})
        for name in sorted(old.keys() | values.keys()):
            both = name in old and name in values
            if not both or not np.allclose(old[name], values[name], rtol=1e-9, atol=1e-9):
                print(f'{dataset}, {name}: {old.get(name, "nothing")} -> {values.get(name, "nothing")}')
                changed += 1
    print(f'{changed} values changed')
    if changed:
        lines = json.dumps(now, indent=1).replace(',\n   ', ', ').replace('[\n   ', '[').replace('\n  ]', ']')
        PATH.write_text(lines + '\n')


if __name__ == '__main__':
    main()
