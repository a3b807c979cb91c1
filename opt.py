"""Declares every option of the mains once, and parses them.

Which options shape the network, and which must stay when a run is resumed, follows from the declarations.
"""
import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.common.cli import Parser, at_least, tool_parser
from utils.common.errors import InputError

# Part that --without leaves out of the network or its loss -> what then happens.
PARTS = {'ktcn': 'the S-GCN\'s prediction alone', 'sgcn': 'the K-TCN\'s prediction alone',
         'fusion': 'the sum of the gated paths, without SOF', 'gates': 'SOF takes both paths as they are',
         'fusion_residual': 'the fusion is not added to the sum of the paths',
         'batch_norm': 'layer norm over the features of each node instead',
         'loss_weights': 'a and b stay where they begin'}
NOT_IN_PAPER = 'not in the paper'
# Defaults that --recipe sets, beyond the paper. They were chosen on CMU validation data (docs/results.md).
RECIPES: dict[str, dict[str, Any]] = {
    'accurate': {'mirror': 0.5, 'reverse': 0.2, 'stretch': 0.2, 'shift': 20.0, 'balance': 0.5,
                 'average': 0.998, 'velocity_weight': 5.0, 'near_frames': 1.2, 'symmetry': 'average'},
    'short': {'mirror': 0.5, 'reverse': 0.2, 'stretch': 0.2, 'shift': 20.0, 'balance': 0.5, 'average': 0.998,
              'velocity_weight': 1.0, 'error_weighting': 1.0, 'jps_weight': 100.0, 'symmetry': 'average'},
    'long': {'mirror': 0.5, 'reverse': 0.2, 'stretch': 0.2, 'shift': 20.0, 'balance': 0.5, 'average': 0.998,
             'velocity_weight': 5.0, 'error_weighting': 1.0, 'jps_weight': 1000.0, 'symmetry': 'average'},
}


EXAMPLES = """  python %(prog)s --data_dir DATA
      trains, and scores the best epoch on the test split; under another name with --exp RUN
  python %(prog)s --data_dir DATA --exp RUN --is_load
      goes on with a run that was stopped
  python %(prog)s --data_dir DATA --exp RUN --is_eval
      scores its best epoch again"""


@dataclass(frozen=True)
class Option:
    """The declaration of one option.

    default: the option is a switch where this is False.
    kind: turns the option's text into its value.
    role: says when the option may change.
        'shape': it shapes the network or its data, so a checkpoint must agree with it.
        'training': it stays when a run is resumed, so that the run ends like one that was never stopped.
        'run': it may change at any time.
    short: stands before the value in the run folder's name.
        'shape' options without it stand there only where they are not at their default.
    older: the value in runs from before the option; None where a checkpoint must hold the option.
    """

    name: str
    default: Any
    help: str
    kind: Callable[[str], Any] = str
    role: str = 'run'
    choices: tuple[Any, ...] | None = None
    metavar: str | None = None
    short: str | None = None
    older: Any = None
    required: bool = False



def file_and_function(text: str) -> str:
    """Takes FILE.py:function, or nothing."""
    if text and not (text.rpartition(':')[0].endswith('.py') and text.rpartition(':')[2].isidentifier()):
        raise argparse.ArgumentTypeError(f'{text} is not FILE.py:function')
    return text


share = at_least(0, float, most=1)
below_one = at_least(0, float, below=1)

DATA = (
    Option('data_dir', None, 'folder that holds the dataset\'s folder, or that folder itself', required=True),
    Option('input_n', 10, 'observed frames of a window', at_least(2, most=2000), 'shape', short='in'),
    Option('output_n', 10, 'predicted frames of a window', at_least(3, most=2000), 'shape', short='out'),
    Option('skip_rate', 1, 'frames from the start of one training window to the next', at_least(1),
           'training'),
    Option('test_sample_num', -1, 'test windows drawn for each action, as in the 8- and 256-window '
           'protocols; -1: all windows', at_least(-1), choices=(-1, 8, 256)),
    Option('no_test', False, 'train and validate only; the test split is not read'),
    Option('allow_missing', False, 'if files of a fixed set (Human3.6M) are missing, list them and go on; '
           'without this option that is an error'),
)
NETWORK = (
    Option('node_n', 66, 'predicted coordinates, three for each joint; must match the dataset', at_least(1),
           'shape'),
    Option('dct_n', 15, 'DCT coefficients that are kept, up to input_n + output_n', at_least(1), 'shape',
           short='dct'),
    Option('num_gcn', 4, 'depth of the S-GCN, which has 2 x num_gcn + 5 stages', at_least(1, most=100),
           'shape', short='gcn'),
    Option('d_model', 16, 'width: the S-GCN has d_model x dct_n features for each node, the K-TCN '
           '16 x d_model channels', at_least(1, most=1000), 'shape', short='d'),
    Option('dropout', 0.1, 'probability of dropout in both paths, below 1', below_one, 'training'),
    Option('tcn_axis', 'time', 'axis that the K-TCN\'s convolutions slide along', role='shape',
           choices=('time', 'coordinates')),
    Option('topk', 'signed', 'TOP-K of the fusion. signed, magnitude: the largest responses, by value or by '
           'magnitude, stay in their places; packed: only their values stay; inside: they feed the next '
           'convolution too; off: all responses stay', role='shape',
           choices=('signed', 'magnitude', 'packed', 'inside', 'off')),
    Option('wiring', 'released', 'stages of the S-GCN. released: num_gcn + 1 blocks down and up, one in the '
           'middle, and a skip around all of them; inner: num_gcn down and up, three in the middle, no such '
           'skip', role='shape', choices=('released', 'inner'), older='inner'),
    Option('without', 'nothing', 'leave out a part, to see what it brings. '
           + '; '.join(f'{part}: {what}' for part, what in PARTS.items()),
           role='shape', choices=('nothing', *PARTS), older='nothing'),
    Option('symmetry', 'off', 'average: evaluate the mean of the predictions for a window and for its mirror '
           f'image, at twice the cost; {NOT_IN_PAPER}', role='shape', choices=('off', 'average'),
           older='off'),
)
TRAIN = (
    Option('epoch', 100, 'epochs to train in all', at_least(1)),
    Option('batch_size', 32, 'windows of a training step', at_least(2), 'training'),
    Option('test_batch_size', 64, 'windows of an evaluation batch; changes speed and memory, not results',
           at_least(1)),
    Option('lr_now', 0.0005, 'learning rate after warm-up', at_least(0, float), 'training'),
    Option('lr_end', 0.01, 'share of --lr_now at which the cosine schedule ends; 1 keeps the rate constant',
           share, 'training'),
    Option('warmup_steps', 200, 'steps in which the learning rate rises to --lr_now', at_least(0),
           'training'),
    Option('optimizer', 'adam', 'adamw decouples weight decay', role='training', choices=('adam', 'adamw')),
    Option('weight_decay', 0.0, 'weight decay of the network, not of the loss\'s a and b', at_least(0, float),
           'training'),
    Option('clip_norm', 1.0, 'largest norm of a step\'s gradient; a longer one is scaled down to it',
           at_least(1e-6, float), 'training'),
    Option('jps_weight', 1.0, 'weight of the squared joint point smoothness in the loss; 0 leaves it out',
           at_least(0, float), 'training'),
    Option('skip_bad_steps', 0, 'steps of an epoch that may be skipped because loss or gradient is not '
           'finite; one more ends the run', at_least(0)),
    Option('amp', False, 'on CUDA, train with products in bfloat16; evaluation stays in float32',
           role='training', older=False),
    Option('tf32', False, 'on CUDA, train with float32 products in TF32; evaluation stays exact',
           role='training', older=False),
    Option('compile', False, 'train through torch.compile, on CUDA with CUDA graphs; the first step takes a '
           'minute', role='training', older=False),
    Option('refit', False, 'train on the validation windows too, where they are cut from training recordings '
           '(CMU mocap); for a last training, when all is chosen: no epoch is selected, the last is kept. '
           f'With --init RUN it adds them to a trained network; {NOT_IN_PAPER}', role='training',
           older=False),
    Option('seed', 0, 'seed of weights, dropout and the order of windows', at_least(0, most=2**32 - 1),
           'training'),
)
# Beyond the paper: what --recipe sets, with --symmetry.
BEYOND = (
    Option('velocity_weight', 0.0, 'weight in the loss of the error of velocities, in mm per frame',
           at_least(0, float), 'training', older=0.0),
    Option('path_weight', 0.0, 'weight in the loss of the errors of both paths, beside the learned weights',
           at_least(0, float), 'training', older=0.0),
    Option('near_frames', 0.0, 'weights the error of predicted frame k by k to the power of minus this, in '
           'training of the fused prediction; 0 weights all frames alike', at_least(0, float), 'training',
           metavar='POWER', older=0.0),
    Option('error_weighting', 0.0, 'weights each joint and frame by its running mean error to the power of '
           'minus this, in training of the fused prediction; 0 weights all alike', at_least(0, float),
           'training', metavar='POWER', older=0.0),
    Option('mirror', 0.0, 'share of training windows in which left and right change places, up to 1', share,
           'training', older=0.0),
    Option('reverse', 0.0, 'share of training windows that run backwards, up to 1', share, 'training',
           older=0.0),
    Option('stretch', 0.0, 'training windows run up to 1 + this times faster or slower', at_least(0, float),
           'training', older=0.0),
    Option('shift', 0.0, 'each coordinate of a training window moves by a random constant with this standard '
           'deviation in mm', at_least(0, float), 'training', metavar='MM', older=0.0),
    Option('balance', 0.0, 'evens out how often actions are drawn in training. 0: each window once an epoch; '
           '1: all actions equally often; up to 10', at_least(0, float, most=10), 'training', older=0.0),
    Option('average', 0.0, 'decay in a step of the moving average (EMA) of the weights, which is '
           'evaluated and saved; below 1; 0: no average', below_one, 'training', metavar='DECAY', older=0.0),
    Option('recipe', None, 'other defaults for options, for accuracy beyond the paper. ' + '; '.join(
        f'{name}: ' + ' '.join(f'--{option} {value}' for option, value in recipe.items())
        for name, recipe in RECIPES.items()), choices=tuple(RECIPES)),
)
RUN = (
    Option('network', '', 'train and evaluate a network of your own instead of KSOF: this function, called '
           'with node_n, input_n and output_n (docs/extend.md). A checkpoint runs no file, so --is_eval and '
           '--is_load take it again', file_and_function, metavar='FILE.py:function', older=''),
    Option('cuda_idx', 'cuda:0', 'device: cuda:0, cuda:1, mps or cpu; without CUDA the CPU is used'),
    Option('exp', None, 'run folder: a name under checkpoint/, or a path from the current folder; made of '
           'the settings if not given'),
    Option('init', None, 'start a new run from these weights: a checkpoint file or a run. The network takes '
           'the checkpoint\'s shape; every other option is the new run\'s own', metavar='CKPT'),
    Option('is_load', False, 'resume training from the run\'s ckpt_last'),
    Option('save_minutes', 10.0, 'minutes between saves inside an epoch; each epoch ends with a save too',
           at_least(0, float)),
    Option('is_eval', False, 'evaluate the run\'s ckpt_best on the test split and stop; the network takes '
           'the checkpoint\'s shape'),
    Option('ckpt', None, 'checkpoint file for --is_eval or --is_load instead of the run\'s own; without '
           '--exp, the run is the one whose folder it lies in'),
)
GROUPS = {'data': DATA, 'network': NETWORK, 'training': TRAIN, 'beyond the paper': BEYOND, 'run': RUN}
OPTIONS = tuple(option for group in GROUPS.values() for option in group)
# What a checkpoint must agree with: the dataset and what shapes the network.
SHAPE = ('dataset', *(option.name for option in OPTIONS if option.role == 'shape'))
# What only KSOF has, and no network of one's own: its shape, and the terms of the loss that are its paths'.
KSOF_ONLY = ('dct_n', 'num_gcn', 'd_model', 'dropout', 'tcn_axis', 'topk', 'wiring', 'without', 'jps_weight',
             'path_weight')
# What must not change either when a run is resumed.
TRAINING = tuple(option.name for option in OPTIONS if option.role == 'training')
# Names that other projects give some options -> ours. A mistyped or foreign name gets a hint.
OTHER_NAMES = {'--lr': '--lr_now', '--learning_rate': '--lr_now', '--lr_init': '--lr_now',
               '--epochs': '--epoch', '--n_epochs': '--epoch', '--num_epochs': '--epoch',
               '--train_batch': '--batch_size', '--bs': '--batch_size', '--test_batch': '--test_batch_size',
               '--device': '--cuda_idx', '--gpu': '--cuda_idx', '--cuda': '--cuda_idx',
               '--resume': '--is_load', '--load': '--is_load', '--eval': '--is_eval', '--test': '--is_eval',
               '--checkpoint': '--ckpt', '--model_path': '--ckpt', '--weights': '--init',
               '--pretrained': '--init', '--finetune': '--init', '--data': '--data_dir',
               '--data_path': '--data_dir', '--dataset_path': '--data_dir', '--name': '--exp',
               '--exp_name': '--exp', '--save_dir': '--exp', '--input_length': '--input_n',
               '--output_length': '--output_n', '--in_features': '--node_n', '--drop_out': '--dropout',
               '--num_stage': '--num_gcn', '--linear_size': '--d_model', '--hidden_dim': '--d_model',
               '--max_norm': '--clip_norm', '--fp16': '--amp'}
# Option -> its value in a checkpoint that is too old to hold it.
OLDER = {option.name: option.older for option in OPTIONS if option.older is not None}


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Adds to a checkpoint's settings the options newer than it, and checks all as the command line does.

    Raises ValueError where a value is none that the command line would take.
    """
    whole = OLDER | dict(settings)
    if odd := [name for name, value in whole.items()
               if type(name) is not str or type(value) not in (str, int, float, bool, type(None))]:
        raise ValueError(f'{str(odd[0])[:40]}: is no value of an option')
    for option in OPTIONS:
        if option.name not in whole:
            continue
        value = whole[option.name]
        if (option.default is False) != (type(value) is bool) or value is None and option.default is not None:
            raise ValueError(f'{option.name}: {value} is no value of this option')
        if type(value) is bool or value is None:
            continue
        try:
            whole[option.name] = value = option.kind(str(value))
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise ValueError(f'{option.name}: {error}') from None
        if option.choices and value not in option.choices:
            raise ValueError(f'{option.name}: {value} is none of {", ".join(map(str, option.choices))}')
    return whole


def parser(dataset: str, title: str, defaults: dict[str, Any]) -> Parser:
    """Makes a main's parser.

    dataset: the dataset's name in checkpoints.
    title: its name in tables.
    defaults: option -> the main's own default.
    """
    whole = tool_parser(f'Train or evaluate KSOF on {title}.', EXAMPLES)
    for name, options in GROUPS.items():
        group = whole.add_argument_group(name)
        for option in options:
            how: dict[str, Any] = {'action': 'store_true'} if option.default is False else {
                'default': option.default, 'type': option.kind, 'choices': option.choices,
                'metavar': option.metavar, 'required': option.required}
            group.add_argument(f'--{option.name}', help=option.help, **how)
    whole.set_defaults(dataset=dataset, **defaults)
    whole.other_names = OTHER_NAMES
    return whole


def parse(dataset: str, title: str, defaults: dict[str, Any], *, node_n: int,
          argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the options of one main.

    With --is_eval, --is_load or --init the shape is not checked, as utils/run.py takes it from a checkpoint.

    node_n: predicted coordinates of the dataset.
    argv: the command line; the process's own where it is None.
    Raises InputError where options contradict each other, or a value cannot be used.
    """
    options = parser(dataset, title, defaults).parse_args(argv)
    if options.recipe:
        options = parser(dataset, title, defaults | RECIPES[options.recipe]).parse_args(argv)
    if options.network:
        named = named_options(dataset, title, defaults, argv)
        if wrong := [f'--{name}' for name in KSOF_ONLY if name in named]:
            raise InputError(f'{", ".join(wrong)}: of KSOF, not of the --network; leave out')
    if not (options.is_eval or options.is_load or options.init):  # else the shape is the checkpoint's
        check_shape(vars(options), title, node_n=node_n)
    if options.is_eval and options.no_test:
        raise InputError('--is_eval scores the test split, --no_test leaves it alone: give one of them')
    if options.is_eval and options.is_load:
        raise InputError('--is_eval evaluates a finished run, --is_load resumes one: give one of them')
    if options.ckpt and not (options.is_eval or options.is_load):
        raise InputError('--ckpt needs --is_eval or --is_load')
    options.exp = options.exp or run_name(vars(options))
    return options


def check_shape(settings: Mapping[str, Any], title: str, *, node_n: int) -> None:
    """Raises InputError where sizes do not fit together, or do not fit the dataset.

    node_n: predicted coordinates of the dataset.
    """
    frames = settings['input_n'] + settings['output_n']
    if settings['node_n'] != node_n:
        raise InputError(f'--node_n {settings["node_n"]}: {title} has {node_n} predicted coordinates; use '
                         f'--node_n {node_n}')
    if settings['dct_n'] > frames and not settings['network']:
        raise InputError(f'--dct_n {settings["dct_n"]}: a window of {frames} frames has no more than '
                         f'{frames} coefficients')


def given_options(dataset: str, title: str, defaults: dict[str, Any],
                  argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns the options that a command line names, and those that its recipe sets."""
    named = named_options(dataset, title, defaults, argv)
    return RECIPES.get(named.get('recipe', ''), {}) | named


def named_options(dataset: str, title: str, defaults: dict[str, Any],
                  argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns the options that a command line names."""
    unset = object()
    nothing = argparse.Namespace(**{option.name: unset for option in OPTIONS})
    options = parser(dataset, title, defaults).parse_args(argv, nothing)
    return {option.name: value for option in OPTIONS
            if (value := getattr(options, option.name)) is not unset}


def differing(settings: Mapping[str, Any], defaults: Mapping[str, Any], *,
              everything: bool = False) -> dict[str, Any]:
    """Returns the settings of a run that differ from the defaults of its main and its recipe.

    defaults: option -> the main's own default.
    everything: includes options that do not decide the run's weights.
    """
    usual = {option.name: option.default for option in OPTIONS} | dict(defaults)
    usual |= RECIPES.get(str(settings.get('recipe')), {})
    kept = [option.name for option in OPTIONS
            if everything or option.role != 'run' or option.name in ('recipe', 'init', 'network')]
    return {name: settings[name] for name in kept if name in settings and settings[name] != usual[name]}


def run_name(settings: Mapping[str, Any]) -> str:
    """Names a run folder by the dataset, the network's shape and the recipe.

    A variant of the network stands there only where it is not the default; one's own by its function.
    """
    name, own = settings['dataset'], settings['network'].rpartition(':')[2]
    recipe = settings['recipe']
    for option in OPTIONS:
        value = settings[option.name]
        usual = (option.default, RECIPES[recipe].get(option.name) if recipe else None)
        if own and option.name in KSOF_ONLY:
            continue
        if option.short:
            name += f'_{option.short}{value}'
        elif option.role == 'shape' and option.name != 'node_n' and value not in usual:
            name += f'_{option.name.partition("_")[0]}-{value}'
    return '_'.join(part for part in (name, own, recipe) if part)
