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

from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opt import completed
from tools.reproduce import MAINS
from utils.build import network_arguments
from utils.common import checkpoint, run_folder
from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError, reading
from utils.common.files import whole_file, write_text
from utils.evaluate import window_errors
from utils.evaluate.results import read_results, read_window_errors
from utils.predict.trained import checkpoint_path, load_trained

# What is kept of a checkpoint. The rest is for going on with training.
KEPT = ('model', 'criterion', 'epoch', 'history', 'best')
SAFETENSORS = 'model.safetensors'
TABLES = ('history.csv', 'results.json', 'results.md', 'test_all_eval.csv')


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
    load_trained(best)  # whole, of finite float32, and of this version
    state, digest = checkpoint.load_with_digest(best)
    with reading(run):
        about = json.loads((run / 'options.json').read_bytes())
        missing = [name for name in TABLES if not (run / name).is_file()]
    if missing:
        raise InputError(f'{run / missing[0]}: no such file; evaluate the run first, with --is_eval')
    written = read_results(run / 'results.json')
    scored = written.checkpoint
    if scored.get('sha256', digest) != digest:
        raise InputError(f'{run / "results.json"}: is of another checkpoint than {best.name}; evaluate the '
                         'run again, with --is_eval')
    if written.errors:
        read_window_errors(written, run)
    out.mkdir()
    weights = {name: state[name] for name in KEPT} | {'options': of_anywhere(state['options'], out.name)}
    checkpoint.save(out / checkpoint.BEST, weights)
    write_safetensors(out, state['model'], state['options'])
    write_text(out / 'options.json',
               json.dumps(about | {'options': of_anywhere(about['options'], out.name)}, indent=2) + '\n')
    for name in (*TABLES, *([window_errors.FILE] if written.errors else [])):
        shutil.copyfile(run / name, out / name)
    results = json.loads((out / 'results.json').read_bytes())
    digest = checkpoint.load_with_digest(out / checkpoint.BEST)[1]
    results['checkpoint'] = {'path': checkpoint.BEST, 'epoch': state['epoch'], 'sha256': digest,
                             'run_id': None}
    write_text(out / 'results.json', json.dumps(results, indent=2) + '\n')
    script = f"{MAINS[state['options']['dataset']].__name__}.py"
    name = out if run_folder.place(out).resolve() == out.resolve() else f'./{out}'
    print(f'written: {out}, weights {(out / checkpoint.BEST).stat().st_size / 1e6:.1f} MB; score them with '
          f'python {script} --data_dir DATA --exp {name} --is_eval')


if __name__ == '__main__':
    sys.exit(run_tool(main))
