"""Every option once. A main gives its dataset's defaults; contradictions are refused right after parsing."""
import argparse
import math
from collections.abc import Sequence
from typing import Any

from utils.common.cli import Parser, tool_parser
from utils.common.errors import InputError

Group = argparse._ArgumentGroup

# The settings that shape the network or its data: they name the run folder, and a checkpoint must agree with them.
SHAPE = ('dataset', 'input_n', 'output_n', 'node_n', 'dct_n', 'num_gcn', 'd_model', 'tcn_axis', 'topk', 'wiring',
         'without', 'symmetry')
# What must not change when a run goes on: with these the same, a stopped run ends as one that was never stopped.
TRAINING = ('skip_rate', 'batch_size', 'dropout', 'lr_now', 'lr_end', 'warmup_steps', 'optimizer', 'weight_decay', 'clip_norm',
            'jps_weight', 'velocity_weight', 'path_weight', 'near_frames', 'error_weighting',
            'mirror', 'reverse', 'stretch', 'shift', 'balance', 'average',
            'amp', 'tf32', 'compile', 'seed')
# What --without leaves out of the network or its loss, and what stands in its place.
PARTS = {'ktcn': 'the S-GCN\'s prediction alone', 'sgcn': 'the K-TCN\'s prediction alone',
         'fusion': 'the sum of the gated paths, without SOF', 'gates': 'SOF takes both paths as they are',
         'fusion_residual': 'the fusion is not added to the sum of the paths',
         'batch_norm': 'layer norm over the features of each node instead', 'loss_weights': 'a and b stay where they begin'}
# What --recipe sets, beyond the paper; chosen on CMU validation data (docs/results.md).
RECIPES: dict[str, dict[str, Any]] = {
    'accurate': {'mirror': 0.5, 'reverse': 0.2, 'stretch': 0.2, 'shift': 20.0, 'balance': 0.5, 'average': 0.998,
                 'velocity_weight': 5.0, 'near_frames': 1.2, 'symmetry': 'average'},
    'short': {'mirror': 0.5, 'reverse': 0.2, 'stretch': 0.2, 'shift': 20.0, 'balance': 0.5, 'average': 0.998,
              'velocity_weight': 1.0, 'error_weighting': 1.0, 'jps_weight': 100.0, 'symmetry': 'average'},
    'long': {'mirror': 0.5, 'reverse': 0.2, 'stretch': 0.2, 'shift': 20.0, 'balance': 0.5, 'average': 0.998,
             'velocity_weight': 5.0, 'error_weighting': 1.0, 'jps_weight': 300.0, 'symmetry': 'average'},
}


def at_least(least: float, kind: type = int, *, most: int = 10**6) -> Any:
    """An argparse type: a finite number of that kind, not below `least`; whole ones not above `most` either."""

    def parse(text: str) -> float:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f'{text} is below {least}')
        if kind is int and value > most:
            raise argparse.ArgumentTypeError(f'{text} is above {most}')
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f'{text} is not finite')
        return value

    parse.__name__ = 'whole number' if kind is int else 'number'
    return parse


def parser(dataset: str, title: str, defaults: dict[str, Any]) -> Parser:
    """All options, with the dataset's own defaults."""
    whole = tool_parser(f'Train or evaluate KSOF on {title}.')
    add_data(whole.add_argument_group('data'))
    add_network(whole.add_argument_group('network'))
    add_training(whole.add_argument_group('training'))
    add_run(whole.add_argument_group('run'))
    whole.set_defaults(dataset=dataset, **defaults)
    return whole


def add_data(data: Group) -> None:
    data.add_argument('--data_dir', required=True, help='dataset root, or the dataset\'s own folder in it')
    data.add_argument('--input_n', type=at_least(2, most=2000), default=10, help='observed frames')
    data.add_argument('--output_n', type=at_least(3, most=2000), default=10, help='predicted frames')
    data.add_argument('--skip_rate', type=at_least(1), default=1, help='frames between the starts of training windows')
    data.add_argument('--test_sample_num', type=int, choices=(-1, 8, 256), default=-1,
                      help='test windows: -1 all, else so many drawn for each action as in the 8- and 256-window protocols')
    data.add_argument('--no_test', action='store_true',
                      help='train and validate only; the test split is not even read')
    data.add_argument('--allow_missing', action='store_true',
                      help='go on without files of a fixed set (Human3.6M) that are missing, and list them; else an error')


def add_network(network: Group) -> None:
    network.add_argument('--node_n', type=at_least(1), default=66,
                         help='predicted coordinates, three a joint; must match the dataset')
    network.add_argument('--dct_n', type=at_least(1), default=15, help='DCT coefficients kept, up to input_n + output_n')
    network.add_argument('--num_gcn', type=at_least(1, most=100), default=4,
                         help='S-GCN blocks down and up; it has 2 x num_gcn + 5 stages')
    network.add_argument('--d_model', type=at_least(1, most=1000), default=16,
                         help='width: d_model x dct_n features a node in the S-GCN, 16 x d_model channels in the K-TCN')
    network.add_argument('--dropout', type=at_least(0, float), default=0.1, help='dropout in both paths, below 1')
    network.add_argument('--tcn_axis', choices=('time', 'coordinates'), default='time',
                         help='what the K-TCN\'s convolutions slide along')
    network.add_argument('--topk', choices=('signed', 'magnitude', 'packed', 'inside', 'off'), default='signed',
                         help='TOP-K of the fusion: the largest responses stay in their places, by value or by magnitude; '
                              'packed: their values alone; inside: they feed the next convolution too; off: all stay')
    network.add_argument('--wiring', choices=('released', 'inner'), default='released',
                         help='S-GCN: num_gcn + 1 blocks down and up and one in the middle, with a skip around all of '
                              'them; inner: num_gcn, three, and no such skip')
    network.add_argument('--without', choices=('nothing', *PARTS), default='nothing',
                         help='to see what a part brings: ' + '; '.join(f'{part}: {what}' for part, what in PARTS.items()))
    network.add_argument('--symmetry', choices=('off', 'average'), default='off',
                         help='average: evaluate the mean of what the network makes of a window and of its mirror image, at '
                              'twice the cost; not in the paper')


def add_training(training: Group) -> None:
    training.add_argument('--epoch', type=at_least(1), default=100, help='epochs to train in all')
    training.add_argument('--batch_size', type=at_least(2), default=32, help='windows in a training step')
    training.add_argument('--test_batch_size', type=at_least(1), default=64,
                          help='windows at once in evaluation; changes speed and memory only')
    training.add_argument('--lr_now', type=at_least(0, float), default=0.0005, help='learning rate after warm-up')
    training.add_argument('--lr_end', type=at_least(0, float), default=0.01,
                          help='share of --lr_now that the cosine schedule ends at; 1 keeps the rate constant')
    training.add_argument('--warmup_steps', type=at_least(0), default=200, help='steps of linear warm-up')
    training.add_argument('--optimizer', choices=('adam', 'adamw'), default='adam', help='adamw decouples weight decay')
    training.add_argument('--weight_decay', type=at_least(0, float), default=0.0,
                          help='weight decay; never on the loss\'s a and b')
    training.add_argument('--clip_norm', type=at_least(1e-6, float), default=1.0, help='largest gradient norm of a step')
    training.add_argument('--jps_weight', type=at_least(0, float), default=1.0,
                          help='weight of the squared joint point smoothness in the loss; 0 drops it')
    training.add_argument('--velocity_weight', type=at_least(0, float), default=0.0,
                          help='weight of the error of velocities between frames in the loss; not in the paper')
    training.add_argument('--path_weight', type=at_least(0, float), default=0.0,
                          help='weight of the errors of both paths in the loss, beside the learned weights; not in the '
                               'paper')
    training.add_argument('--near_frames', type=at_least(0, float), default=0.0, metavar='POWER',
                          help='predicted frame k counts k to the power of minus this in the error of the fused prediction that '
                               'training lowers; 0: all the same; not in the paper')
    training.add_argument('--error_weighting', type=at_least(0, float), default=0.0, metavar='POWER',
                          help='in the error of the fused prediction that training lowers each joint and frame counts its '
                               'running mean error to the power of minus this; not in the paper')
    training.add_argument('--mirror', type=at_least(0, float), default=0.0,
                          help='share of training windows whose left and right change places, up to 1; not in the paper')
    training.add_argument('--reverse', type=at_least(0, float), default=0.0,
                          help='share of training windows that run backwards, up to 1; not in the paper')
    training.add_argument('--stretch', type=at_least(0, float), default=0.0,
                          help='training windows run up to 1 + this times faster or slower; not in the paper')
    training.add_argument('--shift', type=at_least(0, float), default=0.0, metavar='MM',
                          help='every coordinate of a training window moves by a constant of this standard deviation; not in the '
                               'paper')
    training.add_argument('--balance', type=at_least(0, float), default=0.0,
                          help='draw an action\'s windows less often the more it has: 0 each once an epoch, 1 all actions '
                               'equally often; not in the paper')
    training.add_argument('--average', type=at_least(0, float), default=0.0, metavar='DECAY',
                          help='evaluate and save a running average of the weights that forgets by this factor a step, below 1; '
                               'not in the paper')
    training.add_argument('--recipe', choices=tuple(RECIPES),
                          help='other defaults for the options above, for accuracy beyond the paper: ' + '; '.join(
                              f'{name}: ' + ' '.join(f'--{option} {value}' for option, value in recipe.items())
                              for name, recipe in RECIPES.items()))
    training.add_argument('--skip_bad_steps', type=at_least(0), default=0,
                          help='steps of an epoch that may be skipped for a loss or gradient that is not finite; one more stops')
    training.add_argument('--amp', action='store_true', help='CUDA: train with products in bfloat16; evaluation stays in float32')
    training.add_argument('--tf32', action='store_true', help='CUDA: train with float32 products in TF32; evaluation stays exact')
    training.add_argument('--compile', action='store_true',
                          help='train through torch.compile, on CUDA with CUDA graphs; the first step takes a minute')
    training.add_argument('--seed', type=at_least(0, most=2**32 - 1), default=0, help='seed of weights, dropout and batch order')


def add_run(run: Group) -> None:
    run.add_argument('--cuda_idx', default='cuda:0', help='device: cuda:0, cuda:1, mps or cpu; without CUDA the CPU is used')
    run.add_argument('--exp', help='run folder: a name under checkpoint/ or a path; made of the settings if not given')
    run.add_argument('--is_load', action='store_true', help='go on with training from the run\'s ckpt_last')
    run.add_argument('--save_minutes', type=at_least(0, float), default=10.0,
                     help='minutes between saves inside an epoch, besides the one at its end')
    run.add_argument('--is_eval', action='store_true', help='evaluate the run\'s ckpt_best on the test split and stop')
    run.add_argument('--ckpt', help='checkpoint file for --is_eval or --is_load instead of the run\'s own')


def parse(dataset: str, title: str, defaults: dict[str, Any], *, node_n: int,
          argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of one main. node_n: the coordinates its dataset has. InputError on anything that cannot be meant."""
    options = parser(dataset, title, defaults).parse_args(argv)
    if options.recipe:
        options = parser(dataset, title, defaults | RECIPES[options.recipe]).parse_args(argv)
    frames = options.input_n + options.output_n
    if options.node_n != node_n:
        raise InputError(f'--node_n {options.node_n}: {title} has {node_n} predicted coordinates; use --node_n {node_n}')
    if options.dct_n > frames:
        raise InputError(f'--dct_n {options.dct_n}: a window of {frames} frames has no more than {frames} coefficients')
    for name in ('dropout', 'average'):
        if getattr(options, name) >= 1:
            raise InputError(f'--{name} {getattr(options, name)}: must be below 1')
    for name, what in (('lr_end', 'of --lr_now'), ('mirror', 'of the windows'), ('reverse', 'of the windows')):
        if getattr(options, name) > 1:
            raise InputError(f'--{name} {getattr(options, name)}: a share {what}, from 0 to 1')
    if options.is_eval and options.no_test:
        raise InputError('--is_eval scores the test split, --no_test leaves it alone: give one of them')
    if options.is_eval and options.is_load:
        raise InputError('--is_eval evaluates a finished run, --is_load goes on training one: give one of them')
    if options.ckpt and not (options.is_eval or options.is_load):
        raise InputError('--ckpt needs --is_eval or --is_load')
    options.exp = options.exp or run_name(options)
    return options


def run_name(options: argparse.Namespace) -> str:
    """The run folder's name: the dataset and the settings that shape the network, variants only where chosen."""
    name = (f'{options.dataset}_in{options.input_n}_out{options.output_n}_dct{options.dct_n}_gcn{options.num_gcn}'
            f'_d{options.d_model}')
    if options.tcn_axis != 'time':
        name += f'_tcn-{options.tcn_axis}'
    if options.topk != 'signed':
        name += f'_topk-{options.topk}'
    if options.wiring != 'released':
        name += f'_wiring-{options.wiring}'
    if options.without != 'nothing':
        name += f'_without-{options.without}'
    if options.symmetry != 'off' and not options.recipe:
        name += f'_symmetry-{options.symmetry}'
    if options.recipe:
        name += f'_{options.recipe}'
    return name
