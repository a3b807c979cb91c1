"""Writes a benchmark's figures as Markdown tables, which read well as text too.

Times are medians, with the 10th to 90th percentile in brackets.
"""
from collections.abc import Iterable
from typing import Any

from utils.report.tables import markdown_table
from utils.speed.measure import PARTS

Figures = dict[str, Any]
NAMES = ('dataset', 'd_model')


def tables(figures: Figures) -> str:
    """Returns all tables, each with a line that says what it shows."""
    machine, measured, peak = figures['machine'], figures['settings'], figures['peak_flop_per_s']
    one = measured[0]
    step_heads = ['windows', 'M parameters', 'GFLOP', 'operators', 'ms', 'windows/s', 'share', 'MB']
    parts = [
        f'{machine["gpu"] or machine["cpu"]}, {machine["cores"]} cores ({machine["vector_instructions"]}), '
        f'{machine["threads"]} threads, torch {machine["torch"]}, fp32 products: {machine["fp32_products"]}; '
        f'revision {machine["git_revision"]}',
        *titled('Matrix products, GFLOP/s', [*NAMES, *one['products']],
                ([*name(m), *(speed(p) for p in m['products'].values())] for m in measured)),
        *titled(f'A training step, ms; share of the fastest product above, {giga(peak)} GFLOP/s',
                [*NAMES, *step_heads], (step_row(m, peak) for m in measured)),
        *titled('Where a step goes, ms and share', [*NAMES, *PARTS], (part_row(m) for m in measured)),
        *titled(f'Evaluation (share of {giga(peak)} GFLOP/s), and the latency of one window: ms, '
                'and the 99th percentile', [*NAMES, 'batch', 'windows/s', 'share', *latency_heads(one)],
                (evaluation_row(m, peak) for m in measured)),
        *(titled('Latency of trained networks: one window, one thread, ms, and the 99th percentile',
                 ['network', 'mirror image', 'torch', '99th', 'onnxruntime', '99th'],
                 ([m['network'], 'yes' if m['symmetry'] else 'no', *latency_cells(m['torch']),
                   *latency_cells(m['onnxruntime'])] for m in figures['networks']))
          if figures['networks'] else ()),
        *titled('From files to windows of all splits, ms',
                ['dataset', 'frames', 'windows', 'parsed', 'from the cache'],
                ([entry['dataset'], str(entry['frames']), str(entry['windows']), ms(entry['cold']),
                  ms(entry['cached'])] for entry in figures['loading'])),
        '\nOperators with the largest own share of a step (and how often):\n',
        *(f'- {" ".join(name(m))}: '
          + ', '.join(f'{o["name"]} {o["share"]:.0%} ({o["calls"]:.0f})' for o in m['top_operators'])
          for m in measured),
    ]
    return '\n'.join(parts)


def name(measured: Figures) -> list[str]:
    """Returns the first cells of a row: the dataset and d_model."""
    return [measured['dataset'], str(measured['d_model'])]


def step_row(measured: Figures, peak: float) -> list[str]:
    """Makes the row of a training step.

    peak: speed of the fastest matrix product, in FLOP/s.
    """
    times = measured['step']
    return [*name(measured), str(measured['batch_size']), f'{measured["parameters"] / 1e6:.2f}',
            f'{measured["step_flop"] / 1e9:.1f}', str(measured['step_operators']), ms(times),
            f'{measured["train_windows_per_s"]:.1f}', f'{measured["step_flop"] / times["median"] / peak:.0%}',
            ' + '.join(f'{value / 1e6:.0f}' for value in measured['peak_memory'].values())]


def part_row(measured: Figures) -> list[str]:
    """Makes the row of the parts of a step: the time of each in ms, and its share."""
    medians = [part['median'] for part in measured['parts'].values()]
    return [*name(measured), *(f'{1000 * median:.2f} ({median / sum(medians):.1%})' for median in medians)]


def evaluation_row(measured: Figures, peak: float) -> list[str]:
    """Makes the row of the evaluation and of the latency.

    peak: speed of the fastest matrix product, in FLOP/s.
    """
    found = measured['evaluation']
    return [*name(measured), str(measured['test_batch_size']), f'{found["windows_per_s"]:.1f}',
            f'{found["flop"] / found["time"]["median"] / peak:.0%}',
            *(cell for entry in measured['latency'] for cell in latency_cells(entry['time']))]


def latency_cells(times: dict[str, float] | None) -> list[str]:
    """Formats median and 99th percentile in ms, or dashes for what is not installed.

    times: a spread in s.
    """
    return [ms(times), f'{1000 * times["p99"]:.2f}'] if times else ['-', '-']


def latency_heads(measured: Figures) -> list[str]:
    """Returns the titles above `latency_cells`, for each number of threads."""
    return [head for entry in measured['latency']
            for head in (f'{entry["threads"]} thread' + 's' * (entry['threads'] > 1), '99th')]


def titled(title: str, head: Iterable[str], rows: Iterable[list[str]]) -> tuple[str, ...]:
    """Returns the lines of a table, with a line above it that says what it shows."""
    return '', f'{title}:', '', markdown_table([list(head), *rows])


def ms(times: dict[str, float]) -> str:
    """Formats a spread in s as its median and 10th to 90th percentile in ms."""
    return f'{1000 * times["median"]:.2f} ({1000 * times["p10"]:.2f}-{1000 * times["p90"]:.2f})'


def speed(product: Figures) -> str:
    """Formats the speed of a product in GFLOP/s: the median, and its 10th to 90th percentile."""
    times = product['time']
    slow, fast = (giga(product['flop'] / times[tenth]) for tenth in ('p90', 'p10'))
    return f'{giga(product["flop_per_s"])} ({slow}-{fast})'


def giga(value: float) -> str:
    """Formats a value in units of 1e9."""
    return f'{value / 1e9:.1f}'
