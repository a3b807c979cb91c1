"""Takes a network of one's own from a Python file that the command line names. Nothing else names one."""
import hashlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.ksof import Prediction
from utils.common.errors import InputError, reading
from utils.common.files import read_regular


class NetworkFile(NamedTuple):
    """A function that builds a network, and the file that it stands in.

    path, name: file and function. sha256: of the very bytes that were run.
    """

    path: Path
    name: str
    sha256: str
    function: Callable[..., Any]


class KeptSource(SourceLoader):
    """Loads a module from bytes that were read before, so that what is run is what was hashed."""

    def __init__(self, path: Path, content: bytes):
        self.path, self.content = path, content

    def get_filename(self, fullname: str) -> str:
        """Returns the path that tracebacks name."""
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        """Returns the source, and no compiled form of it."""
        return self.content


class OwnNetwork(nn.Module):
    """Gives what KSOF gives, for a network that predicts once: all three predictions are that one."""

    def __init__(self, network: nn.Module, output_n: int, named: str):
        super().__init__()
        self.network, self.output_n, self.named = network, output_n, named

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> Prediction:
        """Predicts from observed poses (B, T_in, N) in mm. InputError unless it gives (B, T_out, N)."""
        poses = self.network(observed)
        wanted = (observed.shape[0], self.output_n, observed.shape[2])
        if not isinstance(poses, Tensor) or poses.shape != wanted or poses.dtype != observed.dtype:
            found = (f'{poses.dtype} {tuple(poses.shape)}' if isinstance(poses, Tensor)
                     else type(poses).__name__)
            raise InputError(f'{self.named}: gives {found} for observed poses {tuple(observed.shape)}, and '
                             f'must give {observed.dtype} {wanted}: windows, output_n frames, node_n '
                             'coordinates')
        return Prediction(poses, poses, poses)


def read_network_file(named: str) -> NetworkFile:
    """Runs FILE.py of 'FILE.py:function' and finds the function. InputError where that fails.

    The file may import what lies beside it. Nothing is written there.
    """
    file, _, name = named.rpartition(':')
    path = Path(file)
    with reading(path):
        content = read_regular(path)
    loader = KeptSource(path, content)
    spec = spec_from_loader(f'network_file_{path.stem}', loader)
    assert spec
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look there
    sys.path.append(str(path.resolve().parent))
    with running(path):
        loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        there = [name for name, value in vars(module).items() if callable(value)
                 and getattr(value, '__module__', '') == module.__name__]
        raise InputError(f'--network {named}: no function {name} there; it has {", ".join(there) or "none"}')
    return NetworkFile(path, name, hashlib.sha256(content).hexdigest(), function)


def build_own(file: NetworkFile, *, node_n: int, input_n: int, output_n: int) -> OwnNetwork:
    """Builds the network and tries it on one batch. InputError where it does not give what it must."""
    named = f'{file.path}:{file.name}'
    with running(file.path):
        network = file.function(node_n=node_n, input_n=input_n, output_n=output_n)
    if not isinstance(network, nn.Module) or not any(part.requires_grad for part in network.parameters()):
        raise InputError(f'{named}: returns {type(network).__name__}, and must return a torch.nn.Module with '
                         'weights to train')
    own = OwnNetwork(network, output_n, named).eval()
    with running(file.path), torch.no_grad(), torch.random.fork_rng(devices=[]):
        own(torch.zeros(2, input_n, node_n))
    return own.train()


@contextmanager
def running(path: Path) -> Iterator[None]:
    """What the file's own code raises in the block is an InputError that names its line."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        line = lines[-1] if lines else getattr(error, 'lineno', None)
        where = f'{path}, line {line}' if line else f'{path}'
        said = next(iter(str(error).splitlines()), '')
        raise InputError(f'{where}: {type(error).__name__}: {said}'[:400]) from None
