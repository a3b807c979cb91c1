"""A network of one's own: trained, resumed and scored in the same loop. No file runs that is not named."""
import csv
import json
import re

import numpy as np
import pytest
import torch
from scipy.fft import dct, idct

import main_cmu_3d
from examples.simlpe import SiMLPe
from model.ksof import Prediction
from model.losses import MPJPELoss, mpjpe
from opt import parse
from tests.conftest import tables
from utils.common import checkpoint
from utils.common.errors import InputError
from utils.network_file import OwnNetwork, read_network_file
from utils.predict.trained import load_trained

LINEAR = """
from pathlib import Path
from torch import nn
Path(__file__).with_name('was_run').touch()
class Net(nn.Module):
    def __init__(self, frames, more):
        super().__init__()
        self.over_time = nn.Linear(frames, more)
    def forward(self, observed):
        steps = observed - observed[:, -1:]
        return observed[:, -1:] + self.over_time(steps.transpose(1, 2)).transpose(1, 2)
def linear(node_n, input_n, output_n): return Net(input_n, output_n)
def too_long(node_n, input_n, output_n): return Net(input_n, output_n + 1)
def fixed(node_n, input_n, output_n): return nn.Identity()
def broken(node_n, input_n, output_n): return 1 / 0
def other_names(nodes): return Net(10, 10)
"""


@pytest.fixture
def own(tiny, tmp_path, run):
    """Writes net.py, and runs the CMU main with a network and more words in a run of a few steps an epoch."""
    (tmp_path / 'net.py').write_text(LINEAR)

    def start(network, *more):
        named = network if not network or '/' in network else f'{tmp_path}/net.py:{network}'
        words = ['--network', named] if network else []
        return run(['main_cmu_3d.py', '--data_dir', str(tiny), '--exp', str(tmp_path / 'run'), '--output_n',
                    '10', '--skip_rate', '8', '--warmup_steps', '3', '--cuda_idx', 'cpu', *words, *more])
    return start


def history(folder):
    with (folder / 'history.csv').open(newline='') as file:
        return [{name: value for name, value in row.items() if name not in ('seconds', 'windows_per_s')}
                for row in csv.DictReader(file)]


def test_it_trains_resumes_and_is_scored_like_ksof(own, tmp_path):
    folder = tmp_path / 'run'
    code, page, log = own('linear', '--recipe', 'short', '--epoch', '2')
    assert code == 0 and re.search(r'^epoch 2/2  MPJPE [\d.]+ mm  validation', log, re.MULTILINE), log
    assert page.startswith('linear on synthetic motion') and 'linear predicted joints only' in page
    assert 'KSOF' not in page
    results, first = tables(folder), history(folder)
    assert results['network'] == 'linear'
    assert list(results['methods'])[:2] == ['linear', 'linear predicted joints only']
    assert results['parameters'] == 10 * 10 + 10 and 'linear' in results['pck_percent']['50']
    assert {'fused', 'validation', 'share_fused', 'share_velocity'} < set(first[0])
    assert not {'temporal', 'spatial', 'a', 'b', 'share_jps', 'share_spatial'} & set(first[0])
    kept = checkpoint.load(folder / 'ckpt_best.pth.tar')['options']
    assert kept['network'].endswith('net.py:linear') and len(kept['network_sha256']) == 64
    assert kept['mirror'] == 0.5
    code, page_again, _ = own('linear', '--is_eval')
    assert (code, page_again, tables(folder)) == (0, page, results)
    assert own('linear', '--recipe', 'short', '--epoch', '3', '--is_load')[0] == 0
    assert history(folder)[:2] == first and len(history(folder)) == 3


def test_no_checkpoint_runs_a_file_and_a_changed_one_is_said(own, tmp_path):
    assert own('linear', '--epoch', '1', '--no_test')[0] == 0
    marker, best = tmp_path / 'was_run', tmp_path / 'run' / 'ckpt_best.pth.tar'
    marker.unlink()
    said = 'net.py:linear; no checkpoint runs a file by itself, so name it: --network FILE.py:linear'
    for more in (['--is_eval'], ['--is_load', '--epoch', '2'], ['--init', str(best), '--exp', 'new']):
        code, _, log = own(None, *more)
        assert code == 2 and said in log, log
    with pytest.raises(InputError, match='only the mains run its file'):
        load_trained(best)
    assert not marker.exists()
    code, _, log = own('linear', '--is_eval')
    assert code == 0 and marker.exists() and 'is not what' not in log
    (tmp_path / 'net.py').write_text(LINEAR + '# a word more\n')
    code, _, log = own('linear', '--is_eval')
    assert code == 0 and 'net.py:linear: is not what' in log and 'SHA-256' in log
    (tmp_path / 'net.py').write_text(LINEAR.replace('(frames, more)\n', '(frames, more, bias=False)\n'))
    code, _, log = own('linear', '--is_eval')
    assert code == 2 and 'do not fit' in log.splitlines()[-1]


@pytest.mark.parametrize('network, said', [
    ('too_long', 'net.py:too_long: gives torch.float32 (2, 11, 75) for observed poses (2, 10, 75), and must '
                 'give torch.float32 (2, 10, 75)'),
    ('fixed', 'net.py:fixed: returns Identity, and must return a torch.nn.Module with weights to train'),
    ('broken', 'net.py, line 15: ZeroDivisionError: division by zero'),
    ('other_names', "net.py: TypeError: other_names() got an unexpected keyword argument 'node_n'"),
    ('absent', 'no function absent there; it has Net, linear, too_long'),
    ('./nowhere.py:linear', 'nowhere.py: cannot be read: No such file or directory'),
    ('./net.py', './net.py is not FILE.py:function')])
def test_what_cannot_be_used_is_one_line(own, tmp_path, network, said):
    code, page, log = own(network)
    assert (code, page, log.count('\n')) == (2, '', 1) and said in log
    assert not (tmp_path / 'run').exists()


def test_options_of_ksof_and_its_checkpoints_are_refused(own, tmp_path):
    code, _, log = own('linear', '--jps_weight', '1', '--batch_size', '8', '--without', 'ktcn')
    assert code == 2 and '--without, --jps_weight: of KSOF, not of the --network; leave out' in log
    assert own(None, '--d_model', '1', '--num_gcn', '1', '--epoch', '1', '--no_test')[0] == 0
    code, _, log = own('linear', '--is_eval')
    assert code == 2 and 'is of KSOF, not of the network that is named: leave out --network' in log


def test_a_syntax_error_names_its_line(tmp_path):
    (tmp_path / 'net.py').write_text('x = 1\ndef f(:\n')
    with pytest.raises(InputError, match=r'net.py, line 2: SyntaxError'):
        read_network_file(f'{tmp_path}/net.py:f')


def test_run_folders_are_named_after_the_function():
    words = ['--data_dir', 'x', '--output_n', '10', '--recipe', 'short', '--network', 'a/net.py:linear']
    assert parse('cmu', 'CMU mocap', main_cmu_3d.DEFAULTS, node_n=75, argv=words).exp == (
        'cmu_in10_out10_linear_short')


def test_its_loss_is_mpjpe_and_what_is_asked_for():
    torch.manual_seed(0)
    truth, poses = torch.randn(4, 6, 9), torch.randn(4, 6, 9, requires_grad=True)
    plain = MPJPELoss()(Prediction(poses, poses, poses), truth)
    assert plain.total.item() == pytest.approx(mpjpe(poses, truth).item(), rel=1e-6)
    more = MPJPELoss(velocity_weight=2.0)(Prediction(poses, poses, poses), truth)
    steps = mpjpe(poses.diff(dim=1), truth.diff(dim=1)).item()
    assert more.total.item() == pytest.approx(plain.total.item() + 2 * steps, rel=1e-6)
    near = MPJPELoss(near_frames=1.0)(Prediction(poses, poses, poses), truth).total.item()
    errors = [mpjpe(poses[:, k], truth[:, k]).item() / (k + 1) for k in range(6)]
    assert near == pytest.approx(sum(errors) / sum(1 / (k + 1) for k in range(6)), rel=1e-5)


def simlpe_by_hand(network, observed):
    """siMLPe of one window (T, N) in mm, step by step, in double precision."""
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    x = dct(observed / 1000, axis=0, norm='ortho') @ weights['first.weight'].T + weights['first.bias']
    for k in range(48):
        of = {name.removeprefix(f'blocks.{k}.'): value for name, value in weights.items()}
        y = of['time.weight'] @ x + of['time.bias'][:, None]
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        x = x + y * of['norm.weight'] + of['norm.bias']
    change = idct(x @ weights['last.weight'].T + weights['last.bias'], axis=0, norm='ortho')
    return observed[-1] + 1000 * change


def test_simlpe_is_what_its_paper_says():
    torch.manual_seed(0)
    network = SiMLPe(node_n=66, input_n=50, output_n=10)
    size = sum(p.numel() for p in network.parameters())
    assert size == pytest.approx(0.14e6, rel=0.02), 'as the paper says'
    observed = 300 * torch.randn(2, 50, 66)
    assert (network(observed) - observed[:, -1:]).abs().max() < 0.1, 'untrained it holds the last pose'
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    expected = np.stack([simlpe_by_hand(network, window) for window in observed.double().numpy()])
    np.testing.assert_allclose(network(observed).detach(), expected[:, :10], atol=0.5, rtol=1e-3)


def test_simlpe_feeds_its_predictions_back_beyond_what_it_observes():
    torch.manual_seed(0)
    network = SiMLPe(node_n=9, input_n=4, output_n=10)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    observed = 300 * torch.randn(2, 4, 9)
    whole = network(observed)
    assert OwnNetwork(network, 10, '')(observed).fused.shape == (2, 10, 9)
    torch.testing.assert_close(whole[:, 4:8], network(whole[:, :4])[:, :4], rtol=1e-4, atol=0.01)


def test_simlpe_trains(own, tmp_path):
    code, _, log = own('examples/simlpe.py:SiMLPe', '--epoch', '1', '--skip_rate', '1', '--recipe', 'short',
                       '--batch_size', '8', '--lr_now', '0.001')
    assert code == 0, log
    methods = json.loads((tmp_path / 'run' / 'results.json').read_text())['methods']
    held, trained = (np.array(methods[name]['avg']) for name in ('zero velocity', 'SiMLPe'))
    assert trained[-1] < 0.99 * held[-1] and trained.mean() < 0.99 * held.mean(), 'better than no prediction'
