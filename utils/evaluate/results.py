"""Holds what one evaluation found, and writes and reads it as results.json."""
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.common.errors import InputError, reading
from utils.common.files import read_json, read_regular
from utils.common.structure import Number, Text, check_like
from utils.data.dataset import Dataset
from utils.data.lookup import dataset_named
from utils.data.windows import Windows
from utils.evaluate import window_errors
from utils.evaluate.metrics import ActionTable, up_to_frame
from utils.evaluate.motion import Motion
from utils.evaluate.window_errors import WindowErrors

PROTOCOLS = ('all', '256', '8')  # the test windows: all of them, or drawn ones
# The methods of a run: its network over all joints, the same over the predicted ones, and the baselines.
NETWORK, PREDICTED, BASELINES = 'KSOF', 'KSOF predicted joints only', ('zero velocity', 'constant velocity')


@dataclass(frozen=True)
class Results:
    """What one evaluation found.

    A results.json that is older than a field leaves it at its default.

    dataset: what was tested on.
    windows: action -> number of test windows.
    protocol: the test windows: 'all', '256' or '8'.
    input_n, output_n: observed and predicted frames of a window.
    epoch: the epoch that was scored.
    selected_on: the data on which that epoch was the best.
    methods: name -> table of MPJPE in mm, the network first.
    missing_files: files of the test set that were not there.
    sample: whether the motion is synthetic.
    motion: errors of acceleration and bone length, by measure and method.
    parameters: number of the network's weights.
    checkpoint: the file that was scored: its path from the results' folder, epoch, SHA-256 and id of its run.
    pck: percentage of the predicted joints within a distance, by that distance in mm (a text) and method.
    errors: the file of the windows' errors beside results.json, and its SHA-256.
    network: what files and tables call NETWORK, where it is another than KSOF.
    """

    dataset: Dataset
    windows: dict[str, int]
    protocol: str
    input_n: int
    output_n: int
    epoch: int
    selected_on: str
    methods: dict[str, ActionTable]
    missing_files: list[str] = field(default_factory=list)
    sample: bool = False
    motion: Motion = field(default_factory=dict)
    parameters: int = 0
    checkpoint: dict[str, Any] = field(default_factory=dict)
    pck: Motion = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    network: str = NETWORK

    def named(self, tables: dict[str, ActionTable]) -> dict[str, ActionTable]:
        """Returns tables by method, under the names that files and tables show."""
        return renamed(tables, NETWORK, self.network)

    @property
    def tables(self) -> list[ActionTable]:
        """Every table, those of the motion and of PCK last."""
        more = [*self.motion.values(), *self.pck.values()]
        return [*self.methods.values(), *(table for rows in more for table in rows.values())]

    @property
    def missing_actions(self) -> list[str]:
        """The dataset's actions that were not tested on."""
        return [action for action in self.dataset.actions if action not in self.windows]

    @property
    def has_actions(self) -> bool:
        """Whether the dataset tells actions apart."""
        return len(self.dataset.actions) > 1

    @property
    def label_ms(self) -> list[int]:
        """The field's label of each predicted frame, in ms."""
        return self.dataset.skeleton.label_ms(self.output_n)


def results_of(windows: Windows, dataset: Dataset, *, protocol: str, epoch: int, selected_on: str,
               methods: dict[str, ActionTable], motion: Motion, pck: Motion, parameters: int, sample: bool,
               checkpoint: dict[str, Any], network: str = NETWORK) -> Results:
    """Builds the results from the windows they were measured on; `Results` describes the other parameters."""
    return Results(dataset, windows.counts(), protocol, windows.input_n, windows.output_n, epoch, selected_on,
                   methods, windows.missing_files, sample, motion, parameters, checkpoint, pck,
                   network=network)


def renamed(tables: dict[str, ActionTable], old: str, new: str) -> dict[str, ActionTable]:
    """Returns tables by method, the network's two under another name."""
    names = {name: name.replace(old, new, 1) for name in (old, PREDICTED.replace(NETWORK, old, 1))}
    return {names.get(method, method): table for method, table in tables.items()}


def over_actions(results: Results, actions: Sequence[str]) -> Results:
    """Returns the same results as if only these actions had been tested on."""
    if set(actions) == set(results.windows):
        return results

    def over(tables: dict[str, ActionTable]) -> dict[str, ActionTable]:
        own = {name: {action: table[action] for action in actions} for name, table in tables.items()}
        return {name: table | {'avg': [sum(errors) / len(actions)
                                       for errors in zip(*table.values(), strict=True)]}
                for name, table in own.items()}

    return replace(results, windows={action: results.windows[action] for action in actions},
                   methods=over(results.methods),
                   motion={measure: over(tables) for measure, tables in results.motion.items()},
                   pck={distance: over(tables) for distance, tables in results.pck.items()})


def json_dict(results: Results) -> dict[str, Any]:
    """Returns what results.json holds: errors in published mm at every frame, and what they are of."""
    skeleton = results.dataset.skeleton

    def rounded(tables: dict[str, ActionTable]) -> dict[str, ActionTable]:
        return {name: {action: [round(error, 4) for error in errors] for action, errors in table.items()}
                for name, table in results.named(tables).items()}

    return {
        'dataset': results.dataset.name, 'protocol': results.protocol, 'input_n': results.input_n,
        'output_n': results.output_n, 'epoch': results.epoch, 'selected_on': results.selected_on,
        'label_ms': results.label_ms, 'true_ms': skeleton.true_ms(results.output_n),
        'mm_scale_to_true': skeleton.mm_scale_to_true, 'windows': results.windows,
        'missing_actions': results.missing_actions, 'missing_files': results.missing_files,
        'sample': results.sample,
        'methods': rounded(results.methods), 'parameters': results.parameters,
        'motion': {measure: rounded(tables) for measure, tables in results.motion.items()},
        'checkpoint': results.checkpoint,
        'mpjpe_up_to_frame': rounded({name: {action: up_to_frame(errors) for action, errors in table.items()}
                                      for name, table in results.methods.items()}),
        'final_displacement': {name: {action: round(errors[-1], 4) for action, errors in table.items()}
                               for name, table in results.named(results.methods).items()},
        'pck_percent': {distance: rounded(tables) for distance, tables in results.pck.items()},
        'errors': results.errors, 'network': results.network,
    }


def json_text(results: Results) -> str:
    """Returns the text of results.json. Raises ValueError if an error is not finite."""
    return json.dumps(json_dict(results), indent=2, allow_nan=False) + '\n'


def read_results(path: Path) -> Results:
    """Reads a results.json. Raises InputError if it is missing or not one."""
    try:
        content = read_json(path)
        network = content.get('network', NETWORK)
        check_like(network, Text(r'[^\x00-\x1f\x7f]{1,100}'), 'network')
        content['methods'] = renamed(content['methods'], network, NETWORK)
        for key in ('motion', 'pck_percent'):
            content[key] = {name: renamed(tables, network, NETWORK)
                            for name, tables in content.get(key, {}).items()}
        check_content(content)
        results = Results(dataset_named(content['dataset']), content['windows'], content['protocol'],
                          content['input_n'], content['output_n'], content['epoch'], content['selected_on'],
                          content['methods'], content['missing_files'], content['sample'], content['motion'],
                          content.get('parameters', 0), content.get('checkpoint', {}), content['pck_percent'],
                          content.get('errors', {}), network)
    except FileNotFoundError:
        raise InputError(f'{path}: no results there; evaluate the run first, with --is_eval') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f'{path}: is not a results.json of this version ({repr(error)[:200]}); '
                         'evaluate the run again, with --is_eval') from None
    return results


def read_window_errors(results: Results, folder: Path) -> WindowErrors:
    """Reads the windows' errors that a folder's results.json names. Raises InputError if there are none."""
    path = folder / window_errors.FILE
    hint = 'evaluate the run again, with --is_eval'
    if not results.errors or not path.exists():
        raise InputError(f'{path}: the errors of the windows are not there; {hint}')
    with reading(path):
        content = read_regular(path)
    if hashlib.sha256(content).hexdigest() != results.errors.get('sha256'):
        raise InputError(f'{path}: is not the file that results.json beside it names (SHA-256); {hint}')
    try:
        errors = window_errors.from_bytes(content)
        counts = {str(name): int((errors.action == k).sum()) for k, name in enumerate(errors.actions)}
        about = errors.dataset, errors.input_n, errors.all_joints.shape[1]
        if {name: count for name, count in counts.items() if count} != results.windows or (
                about != (results.dataset.name, results.input_n, results.output_n)):
            raise ValueError('it is of other windows than results.json')
    except ValueError as error:
        raise InputError(f'{path}: is not a file of window errors ({str(error)[:200]}); {hint}') from None
    return errors


def check_content(content: Any) -> None:
    """Raises an exception of a kind that `read_results` knows where this is not what `json_dict` makes."""
    text, size = Text(r'[^\x00-\x1f]{0,1000}'), Number(int, 1, 10_000)
    windows, files = content['windows'], content['missing_files']
    if not windows or not set(windows) <= set(dataset_named(content['dataset']).actions):
        raise ValueError('windows: no action, or one that is not the dataset\'s')
    check_like(content['output_n'], size, 'output_n')
    row = [Number(float, -1e9, 1e9)] * content['output_n']
    table = dict.fromkeys((*windows, 'avg'), row)

    def tables(methods: Any) -> dict[str, Any]:
        return dict.fromkeys(methods, table)

    kinds = {'input_n': size, 'epoch': Number(int, 0, 10**6), 'protocol': Text('|'.join(PROTOCOLS)),
             'selected_on': text, 'windows': dict.fromkeys(windows, Number(int, 1)),
             'missing_files': [text] * len(files),
             'methods': tables({NETWORK, PREDICTED, *BASELINES, *content['methods']})}
    later = {'parameters': Number(int), 'errors': dict.fromkeys(content.get('errors', {}), text),
             'checkpoint': {name: Number(int) if name == 'epoch' else value and text
                            for name, value in content.get('checkpoint', {}).items()},
             **{name: {key: tables(methods) for key, methods in content.get(name, {}).items()}
                for name in ('motion', 'pck_percent')}}
    for name, kind in (kinds | {name: kind for name, kind in later.items() if name in content}).items():
        check_like(content[name], kind, name)
    if type(content['sample']) is not bool:
        raise ValueError('sample: is neither true nor false')
