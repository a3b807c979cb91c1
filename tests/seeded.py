"""Weights and windows that depend on a seed and on names alone, not on how torch begins them."""
import zlib

import numpy as np
import torch
from scipy.fft import dct

OUTPUT_N = {'h36m': 10, 'cmu': 25, '3dpw': 30}
NODE_N = {'h36m': 66, 'cmu': 75, '3dpw': 69}


def sizes(dataset, **changes):
    """The paper's sizes of one dataset but for the width."""
    return {'node_n': NODE_N[dataset], 'input_n': 10, 'output_n': OUTPUT_N[dataset], 'dct_n': 15,
            'num_gcn': 4, 'd_model': 2, 'dropout': 0.0} | changes


def draw_for(name, seed):
    """A generator of its own for each name, so that one tensor more leaves the others as they are."""
    return np.random.RandomState(zlib.crc32(f'{seed} {name}'.encode()))


def seeded_values(name, shape, seed):
    """Stands in for a trained network's tensor: of such a size that every part is felt."""
    draw, kind = draw_for(name, seed), name.rsplit('.', 1)[-1]
    if kind == 'running_mean':
        return draw.uniform(-0.5, 0.5, shape) + (120 if name.startswith('gate.') else 0)
    if kind == 'running_var':
        units = {'gate.norm': 80, 'sgcn.first.norm': 300, 'body.0.norm': 4, 'body.1.norm': 1.5}
        unit = next((unit for part, unit in units.items() if part in name), 1)
        return unit**2 * draw.uniform(0.3, 1.5, shape)
    if kind == 'adjacency':
        return np.eye(*shape) + draw.normal(0, 0.5, shape) / shape[0] ** 0.5
    if kind == 'original0':  # the length of a weight-normalised filter
        return draw.uniform(0.8, 1.6, shape)
    if 'norm' in name:
        return draw.normal(kind == 'weight', 0.2, shape)
    if kind == 'bias':
        return draw.normal(0, 0.3, shape)
    gain = 8 if name.startswith('sgcn.last.') else 1.5
    return draw.normal(0, gain / np.prod(shape[1:]) ** 0.5, shape)


def seed_network(network, seed=0):
    """Gives every tensor of the network a seeded value, in double precision; returns the network."""
    network = network.double()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(seeded_values(name, tuple(tensor.shape), seed)))
    return network


def exact_transform(network, input_n, output_n):
    """Puts the DCT, which the network keeps in single precision, into it in double precision; returns it."""
    basis = dct(np.eye(input_n + output_n), axis=0, norm='ortho')[: len(network.encoding)]
    held = basis[:, input_n - 1 :].sum(1, keepdims=True)
    encoding = np.concatenate([basis[:, : input_n - 1], held], axis=1)
    for buffer, exact in ((network.encoding, encoding), (network.decoding, basis[:, input_n:])):
        exact = torch.from_numpy(exact)
        torch.testing.assert_close(buffer, exact, rtol=0, atol=1e-6)
        buffer.copy_(exact)
    return network


def seeded_motion(dataset, count, frames, seed=0):
    """(count, frames, N) poses in mm that move, each window at another speed."""
    draw = draw_for(f'motion {dataset}', seed)
    node_n = NODE_N[dataset]
    rest = draw.normal(0, 300, (count, 1, node_n))
    speed = draw.uniform(2, 12, (count, 1, 1))
    steps = speed * (draw.normal(0, 1, (count, 1, node_n)) + draw.normal(0, 0.4, (count, frames, node_n)))
    return torch.from_numpy(rest + steps.cumsum(1))
