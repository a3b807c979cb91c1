"""Runs an exported .onnx file by onnxruntime on the CPU, called like the network that it was made of."""
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from utils.common.checkpoint import reason_of
from utils.common.errors import InputError, reading
from utils.common.files import read_regular

SETTINGS, EPOCH = 'settings', 'epoch'  # entries of the file's metadata about its run, as JSON
QUIET = 4  # level of onnxruntime's log: fatal errors only, as others are raised


class FusedPrediction(NamedTuple):
    """The prediction of an exported network: the fused poses alone."""

    fused: Tensor


class ExportedNetwork(nn.Module):
    """Runs an .onnx file. Called like a network in evaluation mode, on tensors of any device.

    content: the file's bytes.
    threads: CPU threads of onnxruntime.
    """

    def __init__(self, content: bytes, threads: int):
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = QUIET
        self.session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> FusedPrediction:
        """Predicts poses (B, T_out, N) in mm.

        observed: root-centred poses (B, T_in, N) in mm.
        coefficients: not used. The file computes its own.
        """
        fused = self.session.run(['fused'], {'observed': observed.cpu().numpy()})[0]
        return FusedPrediction(torch.from_numpy(fused).to(observed.device))


def missing(*libraries: str) -> list[str]:
    """Lists those of the libraries that are not installed."""
    return [name for name in libraries if find_spec(name) is None]


def require(*libraries: str) -> None:
    """Raises InputError, with what to install, where a library is missing."""
    if names := missing(*libraries):
        raise InputError(f'.onnx needs {", ".join(names)}: pip install -r requirements-export.txt')


def load_exported(path: Path) -> tuple[ExportedNetwork, dict[str, Any], int]:
    """Reads what `tools/export.py` wrote: the network, the settings that shape it, and its epoch.

    Raises InputError where onnxruntime is missing, or the file is not such a network.
    """
    require('onnxruntime')
    with reading(path):
        content = read_regular(path)
    try:
        network = ExportedNetwork(content, torch.get_num_threads())
        about = network.session.get_modelmeta().custom_metadata_map
        if SETTINGS not in about:
            raise ValueError('written by an older version, or not by tools/export.py: export the run again')
        settings, epoch = json.loads(about[SETTINGS]), int(about[EPOCH])
        shape = settings['input_n'], settings['output_n'], settings['node_n']
        still = np.zeros((1, shape[0], shape[2]), np.float32)
        if network(torch.from_numpy(still)).fused.shape != (1, shape[1], shape[2]):
            raise ValueError('its prediction has another shape than its settings say')
    except Exception as error:  # of a damaged file onnxruntime may raise any
        reason = reason_of(error)
        raise InputError(f'{path}: is not an exported network that can be used ({reason})') from None
    return network, settings, epoch
