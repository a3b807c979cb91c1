"""A trained network as its checkpoint describes it: no option has to be given twice."""
import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from opt import SHAPE, parse
from utils.build import build_network
from utils.common import checkpoint
from utils.data.dataset import Dataset
from utils.data.lookup import dataset_named
from utils.evaluate.symmetry import scored_network


class Trained(NamedTuple):
    """A network in evaluation mode on the CPU, and what it was made for.

    model: (observed, coefficients) -> Prediction; the symmetry average where the run has it.
    options: the shape's; all others at defaults.
    """

    model: nn.Module
    options: argparse.Namespace
    reader: Dataset
    epoch: int


def checkpoint_path(path: Path) -> Path:
    """A checkpoint file, or the best one in a run folder: a path or a name under checkpoint/."""
    folder = next((folder for folder in (path, checkpoint.RUNS / path) if folder.is_dir()), None)
    return folder / checkpoint.BEST if folder else path


def load_trained(path: Path) -> Trained:
    """The network in a checkpoint. InputError if it cannot be used."""
    state = checkpoint.load(path)
    with checkpoint.fitting(path):
        reader = dataset_named(state['options']['dataset'])
        words = [f'--{name}={state["options"][name]}' for name in (*SHAPE, 'dropout') if name != 'dataset']
        options = parse(reader.name, reader.name, {}, node_n=reader.skeleton.node_n, argv=['--data_dir=.', *words])
        with torch.device('meta'):  # no memory is taken for sizes that the weights do not have
            model = build_network(vars(options))
        model.load_state_dict(state['model'], assign=True)
        if not all(weights.dtype == torch.float32 and weights.isfinite().all() for weights in model.parameters()):
            raise ValueError('a weight is not a finite float32')
    return Trained(scored_network(model, options.symmetry, reader.skeleton).eval(), options, reader, state['epoch'])
