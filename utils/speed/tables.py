"""A benchmark's figures as tables for the terminal and for Markdown."""
from collections.abc import Iterator
from typing import Any

from utils.report.page import text_table
from utils.speed.measure import PARTS

Figures = dict[str, Any]


def tables(figures: Figures) -> str:
    """All tables, each with a line that says what it shows. Times are medians (10th to 90th percentile)."""
    machine, measured = figures['machine'], figures['settings']
    peak = figures['peak_flop_per_s']
    parts = [
        f'{machine["gpu"] or machine["cpu"]}, {machine["cores"]} cores ({machine["vector_instructions"]}), {machine["threads"]} '
        f'threads, torch {machine["torch"]}, fp32 products: {machine["fp32_products"]}; revision {machine["git_revision"]}',
        *titled('Matrix products, GFLOP/s', ['dataset', 'd_model', *measured[0]['products']],
                ([*name(m), *(speed(p) for p in m['products'].values())] for m in measured)),
        *titled(f'A training step, ms; share of the fastest product above, {giga(peak)} GFLOP/s',
                ['dataset', 'd_model', 'windows', 'M parameters', 'GFLOP', 'operators', 'ms', 'windows/s', 'share', 'MB'],
                ([*name(m), str(m['batch_size']), f'{m["parameters"] / 1e6:.2f}', f'{m["step_flop"] / 1e9:.1f}',
                  str(m['step_operators']), ms(m['step']), f'{m["train_windows_per_s"]:.1f}',
                  share(m['step_flop'] / m['step']['median'], peak), megabytes(m['peak_memory'])] for m in measured)),
        *titled('Where a step goes, ms and share', ['dataset', 'd_model', *PARTS], (step_parts(m) for m in measured)),
        *titled(f'Evaluation (share of {giga(peak)} GFLOP/s), and the latency of one window: ms, and the 99th percentile',
                ['dataset', 'd_model', 'batch', 'windows/s', 'share', *latency_heads(measured[0])],
                ([*name(m), str(m['test_batch_size']), f'{m["evaluation"]["windows_per_s"]:.1f}',
                  share(m['evaluation']['flop'] / m['evaluation']['time']['median'], peak),
                  *(cell for entry in m['latency'] for cell in (ms(entry['time']), f'{1000 * entry["time"]["p99"]:.2f}'))]
                 for m in measured)),
        *titled('From files to windows of all splits, ms', ['dataset', 'frames', 'windows', 'parsed', 'from the cache'],
                ([entry['dataset'], str(entry['frames']), str(entry['windows']), ms(entry['cold']), ms(entry['cached'])]
                 for entry in figures['loading'])),
        '\nOperators with the largest own share of a step (and how often):\n',
        *(f'- {" ".join(name(m))}: ' + ', '.join(f'{o["name"]} {o["share"]:.0%} ({o["calls"]})' for o in m['top_operators'])
          for m in measured),
    ]
    return '\n'.join(parts)


def titled(title: str, head: list[str], rows: Iterator[list[str]]) -> tuple[str, ...]:
    return '', f'{title}:', '', text_table([head, *rows])


def name(measured: Figures) -> list[str]:
    return [measured['dataset'], str(measured['d_model'])]


def ms(times: dict[str, float]) -> str:
    """Median (10th-90th percentile)."""
    return f'{1000 * times["median"]:.2f} ({1000 * times["p10"]:.2f}-{1000 * times["p90"]:.2f})'


def speed(product: Figures) -> str:
    """GFLOP/s, and those of the slow and the fast tenth."""
    times = product['time']
    return f'{giga(product["flop_per_s"])} ({giga(product["flop"] / times["p90"])}-{giga(product["flop"] / times["p10"])})'


def giga(value: float) -> str:
    return f'{value / 1e9:.1f}'


def share(value: float, whole: float) -> str:
    return f'{value / whole:.0%}'


def megabytes(memory: dict[str, int]) -> str:
    """The process's peak, and the device's own beside it where there is one."""
    return ' + '.join(f'{value / 1e6:.0f}' for value in memory.values())


def step_parts(measured: Figures) -> list[str]:
    medians = [part['median'] for part in measured['parts'].values()]
    return [*name(measured), *(f'{1000 * median:.2f} ({median / sum(medians):.1%})' for median in medians)]


def latency_heads(measured: Figures) -> list[str]:
    return [head for entry in measured['latency']
            for head in (f'{entry["threads"]} thread' + 's' * (entry['threads'] > 1), '99th')]
