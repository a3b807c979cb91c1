"""Copy a finished run to a folder that can be given away: weights, options, tables and history.

Nothing of this machine goes with it. The weights are there twice: as a checkpoint of this project, and as
model.safetensors with a config.json that holds the arguments of KSOF.
"""
import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opt import completed
from tools.reproduce import MAINS
from utils.build import Opened, network_arguments, open_checkpoint
from utils.common import checkpoint, run_folder
from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError, reading
from utils.common.files import UNFINISHED, read_regular, whole_file, write_text
from utils.evaluate import window_errors
from utils.evaluate.results import read_results, read_window_errors
from utils.predict.trained import checkpoint_path
from utils.report.comparison import load_history, load_options
from utils.report.page import CSV_FILES

# What is kept of a checkpoint. The rest is for going on with training.
KEPT = ('model', 'criterion', 'epoch', 'history', 'best')
SAFETENSORS = 'model.safetensors'
TABLES = ('history.csv', 'results.json', 'results.md')


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('run', metavar='RUN', type=Path,
                        help='run folder, its name under checkpoint/, or its checkpoint file; evaluated with '
                             '--is_eval')
    parser.add_argument('--out', metavar='FOLDER', type=Path, required=True,
                        help='the folder to make; it must not exist')
    arguments = parser.parse_args(argv)
    if not find_spec('safetensors'):
        raise InputError('safetensors is not installed: pip install -r requirements-extra.txt')
    if arguments.out.exists():
        raise InputError(f'--out {arguments.out}: is there already; name a new folder')
    return arguments


def of_anywhere(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Options without the paths of the machine they were used on."""
    init = options.get('init') and '/'.join(Path(options['init']).parts[-2:])
    return options | {'data_dir': 'DATA', 'exp': name, 'ckpt': None, 'init': init}


def write_safetensors(out: Path, weights: dict[str, Tensor], options: dict[str, Any]) -> None:
    """Writes model.safetensors, and config.json with what builds the network that they fit."""
    from safetensors.torch import save

    with whole_file(out / SAFETENSORS) as temporary:
        temporary.write_bytes(save(weights, {'format': 'pt'}))
    config = {'architecture': 'KSOF', 'network': network_arguments(options),
              'dataset': options['dataset'], 'symmetry': completed(options)['symmetry']}
    write_text(out / 'config.json', json.dumps(config, indent=2) + '\n')


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    out = arguments.out
    best = checkpoint_path(arguments.run)
    run = best.parent
    opened = open_checkpoint(best)
    files = checked_files(run, best, opened)
    unfinished = out.with_name(f'.{out.name[:200]}-{uuid4().hex[:12]}{UNFINISHED}')
    unfinished.mkdir()
    try:
        write_release(unfinished, out.name, opened, files)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    script = f'{MAINS[opened.settings["dataset"]].__name__}.py'
    name = out if run_folder.place(out).resolve() == out.resolve() else f'./{out}'
    print(f'written: {out}, weights {(out / checkpoint.BEST).stat().st_size / 1e6:.1f} MB; score them with '
          f'python {script} --data_dir DATA --exp {name} --is_eval')


def checked_files(run: Path, best: Path, opened: Opened) -> dict[str, bytes]:
    """Reads what is given away beside the checkpoint. No link is followed: it could lead out of the run.

    Returns the files' bytes by name.
    Raises InputError where a file is missing, is a link, or is not what it should be.
    """
    if lacking := [name for name in KEPT if name not in opened.saved]:
        raise InputError(f'{best}: has no {", ".join(lacking)}')
    if opened.settings['network']:
        raise InputError(f'{best}: is of a network of one\'s own; only KSOF is given away, as what reads a '
                         'release builds no other')
    names = [*TABLES, run_folder.ABOUT]
    check_files(run, names)
    with checkpoint.fitting(run / run_folder.ABOUT):
        completed(load_options(run) or {})
    load_history(run / 'history.csv')
    results = read_results(run / 'results.json')
    if results.checkpoint.get('sha256', opened.digest) != opened.digest:
        raise InputError(f'{run / "results.json"}: is of another checkpoint than {best.name}; evaluate the '
                         'run again, with --is_eval')
    names.append(CSV_FILES[results.protocol])
    if results.errors:
        names.append(window_errors.FILE)
    check_files(run, names)
    if results.errors:
        read_window_errors(results, run)
    with reading(run):
        return {name: read_regular(run / name) for name in names}


def check_files(run: Path, names: Sequence[str]) -> None:
    """Raises InputError where a run lacks one of these files, or has a link in its place."""
    for name in names:
        if (run / name).is_symlink():
            raise InputError(f'{run / name}: is a link; put the file itself there')
        if not (run / name).exists():
            raise InputError(f'{run / name}: no such file; evaluate the run first, with --is_eval')


def write_release(out: Path, name: str, opened: Opened, files: dict[str, bytes]) -> None:
    """Writes the files into a folder of that name to be."""
    state, options = opened.saved, opened.saved['options']
    weights = {kept: state[kept] for kept in KEPT} | {'options': of_anywhere(options, name)}
    checkpoint.save(out / checkpoint.BEST, weights)
    write_safetensors(out, state['model'], options)
    for file, content in files.items():
        (out / file).write_bytes(content)
    about = json.loads(files[run_folder.ABOUT])
    about['options'] = of_anywhere(about['options'], name)
    run_folder.write_about(out, about)
    digest = checkpoint.load_with_digest(out / checkpoint.BEST)[1]
    scored = {'path': checkpoint.BEST, 'epoch': state['epoch'], 'sha256': digest, 'run_id': None}
    results = json.loads(files['results.json']) | {'checkpoint': scored}
    write_text(out / 'results.json', json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    sys.exit(run_tool(main))
