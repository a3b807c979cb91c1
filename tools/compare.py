"""Compare several runs and the published rows in one table and one plot.

They show errors over the horizon and by action, and the size and speed of each run.
"""
import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from opt import completed
from utils.build import build_network, without_memory
from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.figures import MISSING, import_matplotlib
from utils.common.files import write_text
from utils.evaluate.results import read_window_errors
from utils.evaluate.symmetry import scored_network
from utils.evaluate.window_errors import WindowErrors
from utils.report import tables
from utils.report.comparison import Run, blocks, load_runs, matching, restrict, shared_actions
from utils.report.measures import distribution_blocks, measure_blocks
from utils.report.paired import Setting, paired_blocks

MEASURED = 50  # predictions that are timed


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('runs', metavar='RUN', type=Path, nargs='+',
                        help='run folder, its name under checkpoint/, or a results.json; all of one dataset')
    parser.add_argument('--action', metavar='NAME',
                        help='compare over this action alone; all: over every action, and a table for each')
    parser.add_argument('--published', metavar='NAME', nargs='+', default=[],
                        help='show only the published rows with NAME in theirs; none: no rows (default: all)')
    parser.add_argument('--latency', action='store_true',
                        help='measure the time to predict one window here, on one CPU thread')
    parser.add_argument('--paired', action='store_true',
                        help='compare two settings window by window: B minus A with an interval. Each is a '
                             'run, or several seeds of one setting as a pattern in quotation marks: \'A*\'')
    parser.add_argument('--distribution', action='store_true',
                        help='add how errors are spread over the windows, and the worst recordings')
    parser.add_argument('--measures', action='store_true',
                        help='add MPJPE averaged up to the label, final displacement and PCK')
    parser.add_argument('--out', metavar='DIR', type=Path,
                        help='write compare.md and compare.png there (paired.md with --paired)')
    arguments = parser.parse_args(argv)
    if arguments.paired and len(arguments.runs) != 2:
        raise InputError(f'--paired: takes two settings, here are {len(arguments.runs)}; several seeds of '
                         'one are a pattern in quotation marks, such as \'A*\'')
    return arguments


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    if arguments.paired:
        compare_pairs(arguments)
        return
    runs = load_runs(arguments.runs)
    actions = chosen_actions(runs, arguments.action)
    every = arguments.action == 'all' and len(actions) > 1
    facts = run_facts(runs, arguments.latency)  # before actions are left out of the runs
    whole, runs = runs, restrict(runs, actions)
    page = blocks(runs, facts, every_action=every, only=arguments.published)
    if arguments.measures:
        page += measure_blocks(runs)
    errors = [read_window_errors(run.results, run.folder) for run in whole] if arguments.distribution else []
    if errors:
        page += distribution_blocks(runs, errors, actions)
    print(tables.terminal(page), end='')
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text(arguments.out / 'compare.md', tables.markdown(page))
        draw(runs, arguments.published, arguments.out / 'compare.png')
        if errors:
            draw_errors(runs, errors, actions, arguments.out / 'distribution.png')


def chosen_actions(runs: Sequence[Run], action: str | None) -> list[str]:
    """Returns the actions that are compared: those that all runs share, or the one that is asked for."""
    actions = shared_actions(runs)
    if action in (None, 'all'):
        return actions
    if action not in actions:
        raise InputError(f'--action {action}: the runs share {", ".join(actions)}')
    return [action]


def compare_pairs(arguments: argparse.Namespace) -> None:
    """Prints the difference of two settings on the same windows."""
    found = [matching(pattern) for pattern in arguments.runs]
    one_run = found[0] == found[1]
    runs = load_runs(found[0] if one_run else [*found[0], *found[1]])
    first, second = runs[: len(found[0])], runs if one_run else runs[len(found[0]):]
    names = [setting[0].name if len(setting) == 1 else pattern.name
             for setting, pattern in zip((first, second), arguments.runs, strict=True)]
    page = paired_blocks(Setting(names[0], first), Setting(names[1], second),
                         chosen_actions(runs, arguments.action))
    print(tables.terminal(page), end='')
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text(arguments.out / 'paired.md', tables.markdown(page))


def draw(runs: list[Run], published: list[str], path: Path) -> None:
    """Draws the plot, or prints one line on why there is none."""
    try:
        import_matplotlib()
        from utils.report.comparison_plot import draw_comparison

        draw_comparison(runs, published, path)
    except ImportError:
        print(f'no {path.name}: {MISSING} (pip install matplotlib)', file=sys.stderr)


def draw_errors(runs: list[Run], errors: list[WindowErrors], actions: list[str], path: Path) -> None:
    """Draws how errors are spread over the windows; without matplotlib `draw` has said so."""
    with suppress(ImportError):
        import_matplotlib()
        from utils.report.distribution_plot import draw_distribution

        draw_distribution(runs, errors, actions, path)


def run_facts(runs: Sequence[Run], with_latency: bool) -> tables.Table:
    """Makes the table of the runs themselves: what they were tested on, how large and how fast they are."""
    cells = [['run', 'frames', 'test windows', 'actions', 'epoch', 'parameters', 'windows/s in training']]
    if with_latency:
        cells[0].append('ms a window, one CPU thread')
    for run in runs:
        results, skeleton = run.results, run.results.dataset.skeleton
        of_all = f'{len(results.windows)} of {len(results.dataset.actions)}'
        is_ours = run.options and not run.options.get('network')
        model = model_of(run, weights=with_latency) if is_ours else None
        size = sum(p.numel() for p in model.parameters()) if model else results.parameters
        speed = run.windows_per_s
        cells.append([run.name, f'{results.input_n} + {results.output_n}',
                      f'{results.protocol}: {sum(results.windows.values())}',
                      of_all if results.has_actions else '-',
                      f'{results.epoch or "-"}' + (f' of {len(run.history)}' if run.history else ''),
                      f'{size / 1e6:.2f} M' if size else '-',
                      f'{speed:.0f}' if speed else '-'])
        if with_latency:
            cells[-1].append(f'{latency_ms(model, results.input_n, skeleton.node_n):.1f}' if model else '-')
    return tables.Table(cells)


def model_of(run: Run, *, weights: bool) -> nn.Module:
    """Builds the network that a run's options describe, untrained.

    weights: False for its sizes alone, which take no memory.
    Raises InputError if the options do not fit.
    """
    try:
        settings = completed(run.options or {})
        with nullcontext() if weights else without_memory():
            network = build_network(settings)
        return scored_network(network, settings['symmetry'], run.results.dataset.skeleton).eval()
    except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise InputError(f'{run.name}: its options do not fit this version '
                         f'({str(error).splitlines()[0]})') from None


@torch.inference_mode()
def latency_ms(model: nn.Module, input_n: int, node_n: int) -> float:
    """Measures the median time of predicting one window, in ms, on one CPU thread.

    input_n: observed frames.
    node_n: N, coordinates of the predicted joints.
    """
    poses = 300 * torch.randn(1, input_n, node_n)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(MEASURED + 5):
            started = time.perf_counter()
            model(poses)
            times.append(1000 * (time.perf_counter() - started))
        return statistics.median(times[5:])  # the first ones allocate
    finally:
        torch.set_num_threads(threads)


if __name__ == '__main__':
    sys.exit(run_tool(main))
