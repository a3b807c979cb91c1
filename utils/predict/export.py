"""Writes a trained network as a file that runs without this project's code: torch.export's .pt2, or ONNX."""
import io
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from utils.build import build_network
from utils.common.files import whole_file
from utils.evaluate.symmetry import scored_network
from utils.predict.exported import EPOCH, SETTINGS, ExportedNetwork, missing, require
from utils.predict.folded import fold
from utils.predict.trained import Trained

PLACES = ('data_dir', 'exp', 'ckpt', 'init')  # settings that say where files lie on the machine of the run
ONNX_LIBRARIES = ('onnx', 'onnxscript', 'onnxruntime')
Run = Callable[[np.ndarray], np.ndarray]  # observed (B, T_in, N) -> predicted (B, T_out, N), both float32


class Fused(nn.Module):
    """Wraps a network so that it takes observed poses and returns the fused prediction alone."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, observed: Tensor) -> Tensor:
        """Predicts (B, T_out, N) in mm from observed poses (B, T_in, N) in mm."""
        return self.model(observed).fused


def export_program(trained: Trained) -> ExportedProgram:
    """Traces the network in evaluation mode, for any batch size.

    It is folded first, see `fold`.
    """
    # It is built anew, as a deep copy would share the classes that hold the weight normalization.
    network = build_network(trained.settings)
    model = scored_network(network, trained.settings['symmetry'], trained.dataset.skeleton).eval()
    model.load_state_dict(trained.model.state_dict())
    fold(model)
    with torch.no_grad():
        return torch.export.export(Fused(model), (poses(trained, 2),), dynamic_shapes=({0: Dim('batch')},))


def description(trained: Trained) -> dict[str, Any]:
    """Describes the network for somebody who has the file alone, and for `utils.predict.exported`."""
    settings, skeleton = trained.settings, trained.dataset.skeleton
    return {'dataset': settings['dataset'],
            'input': f'observed: float32 (batch, {settings["input_n"]}, {settings["node_n"]})',
            'output': f'fused: float32 (batch, {settings["output_n"]}, {settings["node_n"]})',
            'coordinates': 'x, y, z of each joint in turn, root-centred in the body\'s frame, in the '
                           'benchmark\'s mm',
            'mm_scale_to_true': skeleton.mm_scale_to_true,
            'frames_per_second': 1000 / skeleton.true_ms_per_frame,
            'joints': [skeleton.joints[joint] for joint in skeleton.predicted],
            SETTINGS: {name: value for name, value in settings.items() if name not in PLACES},
            EPOCH: trained.epoch}


def write_program(path: Path, program: ExportedProgram, about: dict[str, Any]) -> None:
    """Writes a .pt2 file, whole or not at all, with the description as its extra file ksof.json."""
    content = io.BytesIO()  # as torch wants a path that ends in .pt2, which a temporary file does not
    torch.export.save(program, content, extra_files={'ksof.json': json.dumps(about)})
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getvalue())


def write_onnx(path: Path, program: ExportedProgram, about: dict[str, Any]) -> None:
    """Writes an .onnx file, whole or not at all. The description is its metadata, each entry as JSON."""
    content = onnx_content(program, about)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def onnx_content(program: ExportedProgram, about: dict[str, Any]) -> bytes:
    """Returns the bytes of an .onnx file. Raises InputError where a library is missing."""
    require_onnx()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the exporter, about its own future
        logging.getLogger('torch.onnx').setLevel(logging.ERROR)  # it misses torchvision, which is not used
        made = torch.onnx.export(program, input_names=['observed'], output_names=['fused'], verbose=False,
                                 dynamic_shapes=({0: 'batch'},))
    assert made is not None
    made.model.metadata_props.update({name: json.dumps(value) for name, value in about.items()})
    return made.model_proto.SerializeToString()


def can_export_onnx() -> bool:
    """Returns whether the libraries that write and check .onnx files are installed."""
    return not missing(*ONNX_LIBRARIES)


def require_onnx() -> None:
    """Raises InputError, with what to install, where a library for .onnx files is missing."""
    require(*ONNX_LIBRARIES)


def program_runner(path: Path) -> Run:
    """Opens a .pt2 file as a function, run by torch."""
    module = torch.export.load(path).module()
    return lambda observed: module(torch.from_numpy(observed)).detach().numpy()


def onnx_runner(path: Path) -> Run:
    """Opens an .onnx file as a function, run by onnxruntime on the CPU."""
    network = ExportedNetwork(path.read_bytes(), torch.get_num_threads())
    return lambda observed: network(torch.from_numpy(observed)).fused.numpy()


def poses(trained: Trained, batch: int, seed: int = 0) -> Tensor:
    """Draws observed poses (B, T_in, N) in mm: joints about 300 mm from the root that wander 5 mm a frame."""
    settings, generator = trained.settings, torch.Generator().manual_seed(seed)
    frames, nodes = settings['input_n'], settings['node_n']
    first = 300 * torch.randn(batch, 1, nodes, generator=generator)
    return first + torch.randn(batch, frames, nodes, generator=generator).mul(5).cumsum(1)


@torch.inference_mode()
def largest_difference(run: Run, trained: Trained, batches: tuple[int, ...] = (1, 2, 33)) -> float:
    """Returns the largest difference of a written network's predictions from the original's, in mm.

    run: the written network.
    batches: sizes of the batches of drawn poses.
    """
    return max((torch.from_numpy(run(observed.numpy())) - trained.model(observed).fused).abs().max().item()
               for observed in (poses(trained, batch, seed=batch) for batch in batches))
