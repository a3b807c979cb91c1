"""The tables of a run: test_*_eval.csv as KSOF writes it, results.json, and results.md, which the terminal shows too."""
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.data.reader import Reader
from utils.data.windows import Windows
from utils.files import write_text
from utils.published import published_rows

ActionTable = dict[str, list[float]]  # action -> MPJPE at each frame, with 'avg' last


@dataclass(frozen=True)
class Results:
    """What one evaluation found. methods: name -> table, the network first."""

    reader: Reader
    windows: dict[str, int]
    protocol: str
    input_n: int
    output_n: int
    epoch: int
    selected_on: str
    methods: dict[str, ActionTable]

    @property
    def missing_actions(self) -> list[str]:
        return [action for action in self.reader.actions if action not in self.windows]

    @property
    def label_ms(self) -> list[int]:
        return self.reader.skeleton.label_ms(self.output_n)


def results_of(windows: Windows, reader: Reader, *, protocol: str, epoch: int, selected_on: str,
               methods: dict[str, ActionTable]) -> Results:
    """Results for the windows they were measured on."""
    return Results(reader, windows.counts(), protocol, windows.input_n, windows.output_n, epoch, selected_on, methods)


def table_frames(results: Results) -> list[int]:
    """Indices of the predicted frames that the tables show: the field's labels, as far as the prediction reaches."""
    return label_frames(results.reader, results.output_n)


def label_frames(reader: Reader, output_n: int) -> list[int]:
    """Indices, among `output_n` predicted frames, of the field's labels; all of them where it has none there."""
    labels = reader.skeleton.label_ms(output_n)
    usual = [labels.index(label) for label in reader.shown_labels if label in labels]
    return usual or list(range(output_n))


def write_all(results: Results, folder: Path) -> str:
    """Write the three files into the run folder and return the text of results.md."""
    text = markdown(results)
    write_text(folder / f'test_{results.protocol}_eval.csv', csv_text(results))
    write_text(folder / 'results.json', json.dumps(json_dict(results), indent=2) + '\n')
    write_text(folder / 'results.md', text)
    return text


def csv_text(results: Results) -> str:
    """The file KSOF writes: one row an action, then avg; one column a predicted frame, named by the field's label."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['action', *(f'test_#{label}ms' for label in results.label_ms)])
    for action, errors in next(iter(results.methods.values())).items():
        writer.writerow([action, *(f'{error:.4f}' for error in errors)])
    return file.getvalue()


def json_dict(results: Results) -> dict[str, Any]:
    """Everything in results.json: errors in published mm at every frame."""
    skeleton = results.reader.skeleton
    return {
        'dataset': results.reader.name, 'protocol': results.protocol, 'input_n': results.input_n,
        'output_n': results.output_n, 'epoch': results.epoch, 'selected_on': results.selected_on,
        'label_ms': results.label_ms, 'true_ms': skeleton.true_ms(results.output_n),
        'mm_scale_to_true': skeleton.mm_scale_to_true, 'windows': results.windows,
        'missing_actions': results.missing_actions,
        'methods': {name: {action: [round(error, 4) for error in errors] for action, errors in table.items()}
                    for name, table in results.methods.items()},
    }


def markdown(results: Results) -> str:
    """The report: this run and its baselines, the published rows beside them, each action, and how to read it."""
    frames = table_frames(results)
    sections = [heading(results), markdown_table(results, frames, summary_rows(results, frames))]
    published, notes = published_section(results, frames)
    if published:
        title = f'Published, mean of the same {len(results.windows)} actions:'
        sections += [title, markdown_table(results, frames, published)]
    name, table = next(iter(results.methods.items()))
    rows = [(action, [errors[f] for f in frames]) for action, errors in table.items()]
    sections += [f'{name} by action:', markdown_table(results, frames, rows), caveats(results, notes)]
    return '\n\n'.join(sections) + '\n'


def heading(results: Results) -> str:
    """Two lines: what was measured, over what."""
    windows = 'all' if results.protocol == 'all' else f'{results.protocol} for each action, so'
    missing = f' (missing: {", ".join(results.missing_actions)})' if results.missing_actions else ''
    return (f'## KSOF on {results.reader.title}: {results.input_n} observed, {results.output_n} predicted frames\n\n'
            f'MPJPE in mm at the frame, mean of {len(results.windows)} of {len(results.reader.actions)} actions{missing}; '
            f'{windows} {sum(results.windows.values())} test windows; epoch {results.epoch}, selected on '
            f'{results.selected_on}.')


def summary_rows(results: Results, frames: list[int]) -> list[tuple[str, list[float]]]:
    """The average of each method at the shown frames, the network also in true mm and over the papers' other subset."""
    rows = [(name, [table['avg'][f] for f in frames]) for name, table in results.methods.items()]
    scale = results.reader.skeleton.mm_scale_to_true
    if scale != 1:
        rows.insert(1, (f'{rows[0][0]}, true mm (x {scale:.3f})', [error * scale for error in rows[0][1]]))
    subset = results.reader.other_average
    if subset and not results.missing_actions:
        table = next(iter(results.methods.values()))
        means = [sum(table[action][f] for action in subset) / len(subset) for f in frames]
        left_out = ', '.join(action for action in results.reader.actions if action not in subset)
        rows.insert(1, (f'{rows[0][0]}, {len(subset)} actions (without {left_out})', means))
    return rows


def published_section(results: Results, frames: list[int]) -> tuple[list[tuple[str, list[float | None]]], list[str]]:
    """Published rows at the shown labels, this protocol first, and notes on their sources."""
    rows, left_out = published_rows(results.reader.name, list(results.windows), whole_set=not results.missing_actions)
    labels = [results.label_ms[f] for f in frames]
    rows = [row for row in rows if any(label in row.errors for label in labels)]
    rows.sort(key=lambda row: row.protocol != results.protocol)
    table = []
    for row in rows:
        other = '' if row.protocol == results.protocol else f' [other protocol: {row.protocol} windows]'
        table.append((row.method + other, [row.errors.get(label) for label in labels]))
    sources = sorted({f'{row.method}: {row.source}' for row in rows})
    notes = [f'Sources of the published rows: {"; ".join(sources)}.'] if sources else []
    if left_out:
        notes.append(f'Not shown, as only an average over all {len(results.reader.actions)} actions is published: '
                     f'{", ".join(left_out)}.')
    return table, notes


def caveats(results: Results, notes: list[str]) -> str:
    """What the numbers do and do not say, as a list."""
    skeleton = results.reader.skeleton
    lines = [
        f'The field scores {len(skeleton.joints)} joints, of which {len(skeleton.copied)} are copies of predicted ones and '
        f'{len(skeleton.joints) - len(skeleton.predicted) - len(skeleton.copied)} are taken from the truth; '
        f'"predicted joints only" is the mean of the {len(skeleton.predicted)} predicted ones.',
        'This run\'s epoch was not selected on test data. KSOF, PGBIG and GGMotion picked the best epoch on the test set, '
        'and a model trained for 10 frames is worth 1-2 mm over one for 25 at the same label.',
    ]
    if skeleton.true_ms_per_frame != skeleton.label_ms_per_frame:
        lines.append(f'The field labels a frame {skeleton.label_ms_per_frame:g} ms; recorded at {skeleton.raw_fps} Hz with '
                     f'every {skeleton.stride}nd frame used it is {skeleton.true_ms_per_frame:.1f} ms.')
    if skeleton.mm_scale_to_true != 1:
        lines.append(f'Published mm are {1 / skeleton.mm_scale_to_true:.2f} times real ones on this dataset.')
    return '\n'.join(f'- {line}' for line in lines + notes)


def markdown_table(results: Results, frames: list[int], rows: list[tuple[str, Any]]) -> str:
    """A table that reads well as text too: labels above true times, one row an entry; a dash where nothing is published."""
    labels, true_ms = results.label_ms, results.reader.skeleton.true_ms(results.output_n)
    cells = [['label ms', *(str(labels[f]) for f in frames)], ['true ms', *(f'{true_ms[f]:.0f}' for f in frames)]]
    cells += [[name, *('-' if value is None else f'{value:.2f}' for value in values)] for name, values in rows]
    width = max(len(row[0]) for row in cells)
    lines = [f'| {row[0]:<{width}} | ' + ' | '.join(f'{cell:>7}' for cell in row[1:]) + ' |' for row in cells]
    rule = f'|{"-" * (width + 2)}|' + '|'.join('-' * 8 + ':' for _ in frames) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])
