"""Builds network, windows, loss and training settings from a mapping of settings. Options stop here.

The settings are the parsed options, or those that a checkpoint holds.
An option that a checkpoint is too old to hold has the value that opt.py gives for such checkpoints.
"""
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from model.ksof import KSOF
from model.losses import KSOFLoss, MPJPELoss
from opt import completed
from utils.common import checkpoint
from utils.common.device import memory
from utils.common.errors import InputError
from utils.common.structure import check_like
from utils.data.augment import Augmentation
from utils.data.dataset import Dataset
from utils.data.lookup import dataset_named
from utils.data.windows import Windows, build_windows
from utils.network_file import NetworkFile, build_own
from utils.train.settings import TrainSettings

log = logging.getLogger('ksof')
Settings = Mapping[str, Any]


# What building a network computes. On the meta device torch does it in Python and imports its compiler for
# it, which takes two seconds and more of a command.
SHAPES: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    torch.eye: lambda size: torch.empty(size, size),
    torch.Tensor.add: lambda tensor, _: tensor,
    torch.Tensor.div: lambda tensor, _: tensor,
    torch.norm_except_dim: lambda weights, _, dim: weights.new_empty(
        [size if at == dim else 1 for at, size in enumerate(weights.shape)]),
}


class ShapesAlone(TorchFunctionMode):
    """Makes what `SHAPES` names of its shape, uncomputed."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return SHAPES.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def without_memory() -> Iterator[None]:
    """Builds networks of shapes alone, on the meta device: they take no memory, however large they are."""
    with torch.device('meta'), ShapesAlone():
        yield


class Opened(NamedTuple):
    """A checkpoint whose settings, weights and records were checked.

    saved: what it holds.
    settings: option -> value, completed.
    digest: SHA-256 of its bytes.
    """

    saved: checkpoint.Checkpoint
    settings: dict[str, Any]
    digest: str


def open_checkpoint(path: Path) -> Opened:
    """Reads a checkpoint for whatever is done with it.

    Its settings must be such as the command line takes, and its network and loss those of a fresh run of
    these settings: the same names, types and shapes, of finite numbers. What resuming needs too is compared
    with the fresh run itself, by TrainState.check.
    Raises InputError where the file cannot be used.
    """
    saved, digest = checkpoint.load_with_digest(path)
    with checkpoint.fitting(path):
        settings = completed(saved['options'])
        of_dataset(settings)
        with without_memory():  # the settings could ask for more than there is
            # No checkpoint runs the file of one's own network: that is compared where it is built.
            fresh = dict(saved['model']) if settings['network'] else build_network(settings).state_dict()
            loss = build_loss(settings).state_dict() if 'criterion' in saved else {}
        if not all(isinstance(weights, Tensor) for weights in fresh.values()):
            raise ValueError('model: holds what is no tensor')
        for name, expected in (('model', fresh), *([('criterion', loss)] if 'criterion' in saved else [])):
            check_like(saved[name], expected, name)
            saved[name] = dict(saved[name])  # without the attributes that a dictionary of torch may have
    return Opened(saved, settings, digest)


def open_last(folder: Path) -> tuple[Opened, Path]:
    """Returns a run's last checkpoint and its path.

    Where it cannot be used it is the one before, with a warning.
    InputError if there is none.
    """
    path, previous = folder / checkpoint.LAST, folder / checkpoint.PREVIOUS
    try:
        return open_checkpoint(path), path
    except InputError as error:
        if not previous.exists():
            raise
        log.warning('%s: going on from the one before it, %s', error, previous.name)
        return open_checkpoint(previous), previous


def network_arguments(settings: Settings) -> dict[str, Any]:
    """Picks the arguments of KSOF: plain numbers, words and switches."""
    settings = completed(settings)
    without = settings['without']
    names = ('node_n', 'input_n', 'output_n', 'dct_n', 'num_gcn', 'd_model', 'dropout', 'tcn_axis',
             'topk', 'wiring')
    parts = ('ktcn', 'sgcn', 'gates', 'fusion', 'fusion_residual')
    return ({name: settings[name] for name in names} | {part: without != part for part in parts}
            | {'norm': 'layer' if without == 'batch_norm' else 'batch'})


def of_dataset(settings: dict[str, Any]) -> Dataset:
    """Returns the dataset of a network. Raises ValueError where their numbers of coordinates differ."""
    dataset = dataset_named(settings['dataset'])
    if settings['node_n'] != dataset.skeleton.node_n:
        raise ValueError(f'{settings["node_n"]} coordinates, {dataset.title} has {dataset.skeleton.node_n}')
    return dataset


def build_network(settings: Settings, *, copies: int = 1, own: NetworkFile | None = None) -> nn.Module:
    """Builds the network, with untrained weights.

    copies: how often memory must hold the weights. Training holds them as gradients and in the optimizer too.
    own: the file of a network of one's own. Settings alone never have a file run.
    Raises InputError, before memory is taken, where this machine has less, or where such a file is needed.
    """
    settings = completed(settings)
    if own:
        return build_own(own, **{name: settings[name] for name in ('node_n', 'input_n', 'output_n')})
    if settings['network']:
        raise InputError(f'{Path(str(settings["network"])).name} is a network of one\'s own: only the mains '
                         'run its file, with --network')
    make = partial(KSOF, **network_arguments(settings))
    if torch.get_default_device().type != 'meta':
        with torch.random.fork_rng(devices=[]), without_memory():
            count = sum(parameter.numel() for parameter in make().parameters())
        needed, there = copies * 4 * count, memory()
        if needed > there:
            raise InputError(f'--d_model {settings["d_model"]}, --dct_n {settings["dct_n"]}, --num_gcn '
                             f'{settings["num_gcn"]}: {count / 1e6:,.0f} M parameters take '
                             f'{needed / 2**30:,.1f} GiB, this machine has {there / 2**30:,.1f}: '
                             'lower one of them')
    return make()


def build_loss(settings: Settings) -> KSOFLoss:
    """Builds the training loss."""
    settings = completed(settings)
    if settings['network']:
        return MPJPELoss(settings['velocity_weight'], settings['near_frames'],
                         error_weighting=settings['error_weighting'], frames=settings['output_n'],
                         joints=settings['node_n'] // 3)
    return KSOFLoss(settings['jps_weight'], settings['velocity_weight'], settings['near_frames'],
                    learned_weights=settings['without'] != 'loss_weights',
                    path_weight=settings['path_weight'], error_weighting=settings['error_weighting'],
                    frames=settings['output_n'], joints=settings['node_n'] // 3)


def load_windows(settings: Settings, root: Path, split: str, device: torch.device) -> Windows:
    """Reads the windows of 'train', 'validation' or 'test'.

    Training windows are changed each time they are taken, where the settings ask for it.

    root: the dataset's own folder.
    Raises InputError where there is no window, or a file is missing or damaged.
    """
    settings = completed(settings)
    dataset = dataset_named(settings['dataset'])
    if settings['refit'] and 'validation' not in dataset.part_of:
        raise InputError(f'--refit: {dataset.title} has validation files of its own, which its protocol '
                         'keeps out of training; leave it out')
    windows = build_windows(dataset, root, split, input_n=settings['input_n'], output_n=settings['output_n'],
                            dct_n=1 if settings['network'] else settings['dct_n'],
                            skip_rate=settings['skip_rate'],
                            test_sample_num=settings['test_sample_num'], device=device,
                            allow_missing=settings['allow_missing'], refit=settings['refit'])
    if split == 'train' and any(settings[name] for name in ('mirror', 'reverse', 'stretch', 'shift')):
        mirror_index = torch.tensor(dataset.skeleton.mirror_index, device=device)
        windows.augmentation = Augmentation(settings['mirror'], settings['reverse'], settings['stretch'],
                                            settings['shift'], mirror_index)
    return windows


def train_settings(settings: Settings) -> TrainSettings:
    """Picks the settings that training reads."""
    settings = completed(settings)
    return TrainSettings(**{field.name: settings[field.name] for field in fields(TrainSettings)})
