import torch

from model.ksof import KSOF
from model.losses import KSOFLoss
from utils.data.windows import Batch
from utils.train.shares import gradient_shares

SIZES = {'node_n': 6, 'input_n': 5, 'output_n': 4, 'dct_n': 5, 'num_gcn': 1, 'd_model': 1, 'dropout': 0.5}


def batch():
    observed, future = (100 * torch.randn(8, 9, 6)).split([5, 4], dim=1)
    return Batch(observed, 100 * torch.randn(8, 6, 5), future, future, torch.zeros(8))


def test_shares_are_the_norms_of_the_addends_gradients_and_leave_no_trace():
    torch.manual_seed(0)
    model, given = KSOF(**SIZES), batch()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    criterion = KSOFLoss(300.0, error_weighting=1.0, frames=4, joints=2)
    before = {name: value.clone() for name, value in (model.state_dict() | criterion.state_dict()).items()}
    state = torch.get_rng_state()
    shares = gradient_shares(model, criterion, given)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value)
               for name, value in (model.state_dict() | criterion.state_dict()).items())
    assert all(parameter.grad is None for parameter in model.parameters()) and criterion.training

    norms = {}
    for name in ('fused', 'spatial', 'temporal', 'jps'):
        model.zero_grad()
        means = criterion.eval().means(model(given.observed, given.coefficients), given.future)
        criterion.addends(means)[name].backward()
        norms[f'share_{name}'] = torch.cat([p.grad.flatten() for p in model.parameters()
                                            if p.grad is not None]).norm().item()
    whole = sum(norms.values())
    assert shares.keys() == norms.keys() and abs(sum(shares.values()) - 1) < 1e-6
    for name, norm in norms.items():
        assert abs(shares[name] - norm / whole) < 1e-5
    assert shares['share_jps'] > 0.01


def test_a_term_that_moves_nothing_has_no_share():
    model = KSOF(**SIZES, ktcn=False)
    shares = gradient_shares(model, KSOFLoss(0.0), batch())
    assert shares['share_temporal'] == 0 and shares['share_jps'] == 0
