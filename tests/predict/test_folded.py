"""Folding for export: what is folded computes what it was made of, and nothing foldable is left."""
import pytest
import torch
from torch.nn.utils import parametrize

from model.ksof import KSOF
from model.sgcn import GraphNorm, GraphStage
from utils.predict.folded import FoldedStage, fold

NODES, IN, OUT = 6, 5, 7
SIZES = {'node_n': 9, 'input_n': 4, 'output_n': 5, 'dct_n': 6, 'num_gcn': 2, 'd_model': 1, 'dropout': 0.1}


def randomised(module):
    """The module in evaluation mode, with every weight and every statistic drawn."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
        for name, buffer in module.named_buffers():
            if 'running' in name:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return module.eval()


def test_a_folded_stage_computes_what_the_stage_does():
    stage = randomised(GraphStage(NODES, IN, OUT, 0.5, 'batch'))
    x = torch.randn(3, NODES, IN)
    torch.testing.assert_close(FoldedStage(stage)(x), stage(x))


@pytest.mark.parametrize('norm', ['batch', 'layer'])
def test_a_folded_network_predicts_what_the_network_does(norm):
    network = randomised(KSOF(**SIZES, norm=norm))
    observed = torch.randn(3, SIZES['input_n'], SIZES['node_n'])
    with torch.inference_mode():
        expected = network(observed)
        fold(network)
        predicted = network(observed)
    assert (expected.fused - observed[:, -1:]).abs().min() > 0
    for ours, theirs in zip(predicted, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    left = [module for module in network.modules()
            if isinstance(module, GraphNorm) or parametrize.is_parametrized(module)]
    folded = any(isinstance(module, FoldedStage) for module in network.modules())
    assert not left and folded == (norm == 'batch')
