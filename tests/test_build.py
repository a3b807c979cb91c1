"""From options to network and loss: each option arrives where it belongs."""
import os
import resource
import subprocess
import sys

import pytest
from torch import nn

import main_cmu_3d
from model.ktcn import CausalConv
from model.losses import KSOFLoss, MPJPELoss
from model.sgcn import GraphStage
from opt import parse
from tests.conftest import PROJECT
from utils.build import build_loss, build_network, train_settings
from utils.common.device import memory
from utils.common.errors import InputError


def settings(*words):
    return vars(parse('cmu', 'CMU mocap', main_cmu_3d.DEFAULTS, node_n=75, argv=['--data_dir', 'x', *words]))


def network(*words):
    small = ['--d_model', '1', '--num_gcn', '2', '--dct_n', '4', '--output_n', '10']
    return build_network(settings(*small, *words))


def test_a_network_that_cannot_fit_is_refused_before_memory_is_taken(monkeypatch):
    huge = settings('--d_model', '1000', '--num_gcn', '100')
    with pytest.raises(InputError, match=r'--d_model 1000, --dct_n 15, --num_gcn 100: [\d,]+ M parameters '
                                         r'take .* GiB'):
        build_network(huge)
    count = sum(p.numel() for p in network().parameters())
    monkeypatch.setattr('utils.build.memory', lambda: 8 * count)
    small = settings('--d_model', '1', '--num_gcn', '2', '--dct_n', '4', '--output_n', '10')
    assert sum(p.numel() for p in build_network(small, copies=2).parameters()) == count
    with pytest.raises(InputError, match='lower one of them'):
        build_network(small, copies=3)


def test_the_memory_there_is_no_more_than_ulimit_says():
    there, limits = memory(), resource.getrlimit(resource.RLIMIT_AS)
    assert 2**28 < there <= os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**42, limits[1]))
        assert memory() <= 2**42
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_the_networks_options_arrive():
    plain = network('--dropout', '0.37')
    assert {part.p for part in plain.modules() if isinstance(part, nn.Dropout)} == {0.37}
    assert plain.ktcn.axis == 'time' and plain.fusion.topk == 'signed'
    assert len(plain.sgcn.down) == 3 and len(plain.sgcn.middle) == 1
    assert network('--tcn_axis', 'coordinates').ktcn.axis == 'coordinates'
    assert network('--topk', 'magnitude').fusion.topk == 'magnitude'
    inner = network('--wiring', 'inner').sgcn
    assert (len(inner.down), len(inner.middle), inner.outermost) == (2, 3, False)
    assert plain.encoding.shape == (4, 10) and plain.decoding.shape == (4, 10)
    assert plain.sgcn.first.conv.linear.out_features == 4 and plain.ktcn.embedding.out_channels == 16


@pytest.mark.parametrize('part', ['ktcn', 'sgcn', 'fusion', 'gates', 'fusion_residual', 'batch_norm'])
def test_without_leaves_out_the_part_that_it_names_and_no_other(part):
    left = network('--without', part)
    norms = {type(stage.norm) for stage in left.modules() if isinstance(stage, GraphStage)}
    assert (left.ktcn is None) == (part == 'ktcn') and (left.sgcn is None) == (part == 'sgcn')
    assert (left.fusion is None) == (part in ('fusion', 'ktcn', 'sgcn'))
    assert isinstance(left.gate, nn.Identity) == (part in ('gates', 'ktcn', 'sgcn'))
    assert left.fusion_residual == (part != 'fusion_residual')
    assert (nn.LayerNorm in norms) == (part == 'batch_norm')
    assert any(isinstance(module, CausalConv) for module in left.modules()) == (part != 'ktcn')


def test_the_losses_options_arrive():
    plain = build_loss(settings())
    assert (plain.jps_weight, plain.velocity_weight, plain.path_weight, plain.near_frames,
            plain.error_weighting) == (1, 0, 0, 0, 0), 'without options it is the paper\'s'
    assert plain.log_a.requires_grad and plain.log_b.requires_grad
    words = ('--jps_weight 2 --velocity_weight 3 --path_weight 4 --near_frames 5 --error_weighting 6 '
             '--output_n 7 ')
    loss = build_loss(settings(*(words + '--without loss_weights').split()))
    assert (loss.jps_weight, loss.velocity_weight, loss.path_weight, loss.near_frames,
            loss.error_weighting) == (2, 3, 4, 5, 6)
    assert loss.typical.shape == (7, 25) and not loss.log_a.requires_grad and not loss.log_b.requires_grad


def test_what_training_reads_is_what_was_given():
    given = train_settings(settings('--lr_now', '0.25', '--clip_norm', '3', '--warmup_steps', '17'))
    assert (given.lr_now, given.clip_norm, given.warmup_steps) == (0.25, 3, 17)
    defaults = train_settings(settings())
    assert (defaults.lr_end, defaults.warmup_steps, defaults.clip_norm) == (0.01, 200, 1)
    assert (defaults.optimizer, defaults.weight_decay, defaults.balance) == ('adam', 0, 0)
    assert (defaults.average, defaults.symmetry) == (0, 'off')


def test_a_network_of_ones_own_has_a_loss_of_its_own_and_no_file_is_run_for_settings_alone():
    words = '--velocity_weight 3 --near_frames 5 --error_weighting 6 --output_n 7 --network nowhere.py:net'
    own = settings(*words.split(), '--recipe', 'short')
    loss = build_loss(own)
    assert type(loss) is MPJPELoss and loss.terms == ('total', 'fused', 'jps')
    assert loss.typical.shape == (7, 25)
    assert (loss.velocity_weight, loss.near_frames, loss.error_weighting, loss.jps_weight) == (3, 5, 6, 0)
    with pytest.raises(InputError, match="nowhere.py:net is a network of one's own: only the mains run"):
        build_network(own)
    assert type(build_loss(settings())) is KSOFLoss


# In a process of its own, as other tests import the compiler.
IMPORTS = """
import sys
from tests.test_build import network
from utils.build import without_memory
with without_memory():
    shapes = network().state_dict()
print('torch._dynamo' in sys.modules, all(weights.is_meta for weights in shapes.values()))
print(*(f'{name} {list(weights.shape)} {weights.dtype}' for name, weights in shapes.items()), sep='\\n')
"""


def test_shapes_alone_are_the_networks_and_import_no_compiler():
    done = subprocess.run([sys.executable, '-c', IMPORTS], cwd=PROJECT, capture_output=True, text=True,
                          check=True)
    modules, *shapes = done.stdout.splitlines()
    assert modules == 'False True'
    assert shapes == [f'{name} {list(weights.shape)} {weights.dtype}'
                      for name, weights in network().state_dict().items()]
