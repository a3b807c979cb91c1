"""A trained network as its checkpoint describes it: no option has to be given twice."""
import argparse
from pathlib import Path
from typing import NamedTuple

import torch

from model.ksof import KSOF
from utils import checkpoint
from utils.data.reader import Reader
from utils.data.readers import reader_named
from utils.errors import InputError
from utils.run import build_model


class Trained(NamedTuple):
    """A network in evaluation mode on its device, and what it was trained with and for."""

    model: KSOF
    options: argparse.Namespace
    reader: Reader
    epoch: int


def checkpoint_path(*, exp: str | None, ckpt: str | None) -> Path:
    """The checkpoint file `ckpt`, or the best one of a run folder: a name under checkpoint/ or a path."""
    return Path(ckpt) if ckpt else checkpoint.RUNS / (exp or '') / checkpoint.BEST


def load_trained(path: Path, device: torch.device) -> Trained:
    """The network in a checkpoint. InputError where the file is not one, or does not fit this version of the project."""
    state = checkpoint.load(path)
    options = argparse.Namespace(**state['options'])
    try:
        reader = reader_named(options.dataset)
        model = build_model(options)
        model.load_state_dict(state['model'])
    except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split('\n')[0]
        raise InputError(f'{path}: was made by another version of this project ({reason})') from None
    return Trained(model.to(device).eval(), options, reader, state['epoch'])
