"""Number formats and compilation. What needs CUDA runs where there is CUDA; the rest is seen on a CPU."""
import pytest
import torch
from torch import nn

from main_cmu_3d import DEFAULTS
from model.dropout import Dropout
from model.ksof import KSOF, Prediction
from model.losses import KSOFLoss
from opt import parse
from tests.conftest import TINY
from utils.common.precision import choose_precision, tf32, use_tf32
from utils.train.engine import predict_mixed
from utils.train.optimizer import compiled

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
SIZES = {'node_n': 12, 'input_n': 10, 'output_n': 5, 'dct_n': 8, 'num_gcn': 1, 'd_model': 2, 'dropout': 0.0}


def settings(*more):
    return parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', 'x', *TINY, *more])


def tf32_for_convolutions_and_products():
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision() != 'highest'


class Mixed(nn.Module):
    """Says in which numbers it was called."""

    def forward(self, observed, coefficients):
        self.autocast = torch.is_autocast_enabled(observed.device.type)
        return Prediction(*[observed.to(torch.get_autocast_dtype('cpu')) for _ in Prediction._fields])


def test_tf32_lasts_for_the_block_and_products_are_exact_after_it():
    use_tf32(False)
    with tf32(False):
        assert tf32_for_convolutions_and_products() == (False, False)
    with pytest.raises(KeyError), tf32(True):
        assert tf32_for_convolutions_and_products() == (True, True)
        raise KeyError
    assert tf32_for_convolutions_and_products() == (False, False)


@pytest.mark.parametrize('amp', [True, False])
def test_loss_is_taken_in_float32_of_what_the_network_predicts_in_autocast(amp):
    network, poses = Mixed(), torch.randn(3, 5, 12)
    prediction = predict_mixed(network, poses, poses, amp=amp)
    assert network.autocast is amp
    assert not torch.is_autocast_enabled('cpu')
    assert {part.dtype for part in prediction} == {torch.float32}
    assert KSOFLoss()(prediction, poses).total.dtype == torch.float32


def test_number_formats_for_cuda_are_left_out_elsewhere(caplog):
    with caplog.at_level('WARNING', 'ksof'):
        usable = choose_precision(vars(settings('--amp', '--tf32')), torch.device('cpu'))
    assert not usable['amp'] and not usable['tf32']
    assert caplog.messages == ['--amp is for CUDA: left out on cpu', '--tf32 is for CUDA: left out on cpu']
    assert tf32_for_convolutions_and_products() == (False, False)


@pytest.mark.parametrize('p', [0.1, 0.5, 0.999])
def test_dropout_keeps_the_right_share_and_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(200_001, requires_grad=True)
    y = Dropout(p)(x)
    kept = y[y != 0]
    share = len(kept) / len(x)
    # Five standard deviations, and the rounding of p.
    assert abs(share - (1 - p)) < 5 * (p * (1 - p) / len(x)) ** 0.5 + 2**-16
    assert torch.allclose(kept, torch.tensor(1 / (1 - p)), rtol=2**-16 / (1 - p))
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # what is dropped has no gradient, what is kept the same scale


def test_dropout_draws_anew_for_each_value_and_call():
    torch.manual_seed(0)
    layer, x = Dropout(0.5), torch.ones(64, 4096)
    first, second = layer(x) != 0, layer(x) != 0
    for a, b in ((first, second), (first[:, 1:], first[:, :-1]), (first[:, 4:], first[:, :-4]),
                 (first[1:], first[:-1])):
        assert abs((a == b).float().mean() - 0.5) < 0.005
    torch.manual_seed(0)
    assert torch.equal(layer(x) != 0, first)


@pytest.mark.parametrize('layer', [Dropout(0.0), Dropout(0.3).eval()])
def test_no_dropout_is_the_identity(layer):
    x = torch.randn(7, 5)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize('backend', ['aot_eager', pytest.param('inductor', marks=pytest.mark.long)])
def test_compiled_network_trains_as_the_plain_one(backend, monkeypatch):
    """Traced whole, without a break; --compile's own backend takes a minute."""
    compile_with = torch.compile
    monkeypatch.setattr(torch, 'compile',
                        lambda model, dynamic, mode: compile_with(model, dynamic=dynamic, backend=backend,
                                                                 fullgraph=True))
    torch.manual_seed(0)
    model = KSOF(**SIZES)
    fast = compiled(model)
    observed = 100 * torch.randn(4, 10, 12)
    gradients = []
    for network in (model, fast):
        model.zero_grad()
        KSOFLoss()(network(observed), observed[:, :5]).total.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, other in zip(*gradients, strict=True):
        assert torch.allclose(plain, other, rtol=1e-4, atol=1e-4 * plain.abs().max().item() + 1e-7)


@pytest.mark.cuda
@cuda
@pytest.mark.parametrize('more', [['--amp'], ['--tf32'], ['--amp', '--compile']])
def test_training_on_cuda_in_other_numbers(more, command):
    assert command('--cuda_idx', 'cuda:0', *more) == 0
