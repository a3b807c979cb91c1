"""The network against its computation in plain numpy, from the same weights: all datasets, every option."""
import numpy as np
import pytest
import torch
from independent_network import predict
from seeded import NODE_N, exact_transform, seed_network, seeded_motion, sizes

from model.ksof import KSOF

OPTIONS = [{}, {'tcn_axis': 'coordinates'}, {'topk': 'magnitude'}, {'topk': 'packed'}, {'topk': 'inside'},
           {'topk': 'off'}, {'wiring': 'inner'}, {'norm': 'layer'}, {'ktcn': False}, {'sgcn': False},
           {'gates': False}, {'fusion': False}, {'fusion_residual': False}, {'gates': False, 'fusion': False},
           {'dct_n': 1}, {'num_gcn': 1, 'wiring': 'inner'}]
NOT_FOR_NUMPY = ('node_n', 'input_n', 'd_model', 'dropout')


@pytest.mark.parametrize('dataset', NODE_N)
def test_the_network_computes_what_plain_numpy_computes(dataset):
    observed, before = seeded_motion(dataset, 3, 10), []
    for options in OPTIONS:
        settings = sizes(dataset, d_model=1) | options
        network = exact_transform(seed_network(KSOF(**settings), seed=1), 10, settings['output_n']).eval()
        with torch.no_grad():
            found = [part.numpy() for part in network(observed)]
        weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        chosen = {name: value for name, value in settings.items() if name not in NOT_FOR_NUMPY}
        expected = predict(weights, observed.numpy(), **chosen)
        for name, own, other in zip(('fused', 'K-TCN', 'S-GCN'), found, expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=0, atol=1e-6, err_msg=f'{options}: {name}')
        # The windows are such that every option is felt.
        assert all(np.abs(found[0] - other).max() > 0.1 for other in before), options
        before.append(found[0])
