"""Loads a trained network with the settings in its checkpoint, so that no option has to be given again."""
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from utils.build import Opened, build_network, completed, of_dataset, open_checkpoint, without_memory
from utils.common import checkpoint, run_folder
from utils.common.errors import InputError
from utils.data.dataset import Dataset
from utils.evaluate.symmetry import SymmetryAverage, scored_network
from utils.predict.exported import load_exported


class Trained(NamedTuple):
    """A network in evaluation mode on the CPU, with the settings and the dataset of its run.

    model: (observed, coefficients) -> Prediction. It is the symmetry average where the run has it.
    settings: option -> value in the run.
    epoch: the epoch of its weights.
    """

    model: nn.Module
    settings: dict[str, Any]
    dataset: Dataset
    epoch: int


def checkpoint_path(path: Path) -> Path:
    """Returns a checkpoint file, or the best one in a run folder: a path or a name under checkpoint/."""
    return run_folder.checkpoint_at(path)


def load_trained(path: Path) -> Trained:
    """Loads the network in a checkpoint or an exported .onnx file. Raises InputError if it cannot be used."""
    if path.suffix.lower() == '.onnx':
        return load_onnx(path)
    return trained_of(open_checkpoint(path), path)


def trained_of(opened: Opened, path: Path) -> Trained:
    """Builds the network of an opened checkpoint. Raises InputError if it cannot be used.

    path: the checkpoint's.
    """
    saved, settings, _ = opened
    if own := settings['network']:
        raise InputError(f'{path}: is of a network of one\'s own, {Path(own).name}: only the mains run '
                         'its file, with --network')
    with checkpoint.fitting(path):
        with without_memory():  # the file's own tensors become its weights
            model = build_network(settings)
        model.load_state_dict(saved['model'], assign=True)
        dataset = of_dataset(settings)
        scored = scored_network(checked(model, path), settings['symmetry'], dataset.skeleton).eval()
    return Trained(scored, settings, dataset, saved['epoch'])


def checked(network: nn.Module, path: Path) -> nn.Module:
    """Makes each prediction of a network raise InputError where it is not finite, and returns the network.

    Weights that are finite may lead there, as they may be huge.

    path: the network's file.
    """
    def check(_: nn.Module, __: Any, predicted: Any) -> None:
        if not bool(predicted.fused.isfinite().all()):
            raise InputError(f'{path}: the network does not predict numbers: a joint is nowhere')

    network.register_forward_hook(check)
    return network


def load_onnx(path: Path) -> Trained:
    """Loads an exported network. Its graph has the symmetry average in it already.

    Raises InputError if it cannot be used.
    """
    network, settings, epoch = load_exported(path)
    with checkpoint.fitting(path):
        settings = completed(settings)
        return Trained(checked(network.eval(), path), settings, of_dataset(settings), epoch)


def without_symmetry(trained: Trained) -> Trained:
    """Returns the network without the symmetry average."""
    if not isinstance(trained.model, SymmetryAverage):
        return trained
    return trained._replace(model=trained.model.network, settings=trained.settings | {'symmetry': 'off'})
