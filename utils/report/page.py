"""The tables of a run: test_*_eval.csv as KSOF writes it, results.json, and results.md, which the terminal shows too."""
import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.common.errors import InputError
from utils.common.files import write_text
from utils.data.dataset import Dataset, label_frames
from utils.data.lookup import dataset_named
from utils.data.windows import Windows
from utils.evaluate.metrics import ActionTable
from utils.report.motion_table import Motion, motion_rows, motion_sentences
from utils.report.published import PublishedRow, published_rows

NETWORK, PREDICTED, BASELINES = 'KSOF', 'KSOF predicted joints only', ('zero velocity', 'constant velocity')  # methods of a run


@dataclass(frozen=True)
class Results:
    """What one evaluation found. methods: name -> table of MPJPE, the network first.

    motion, parameters: empty and 0 where a results.json is older than they are.
    """

    reader: Dataset
    windows: dict[str, int]
    protocol: str
    input_n: int
    output_n: int
    epoch: int
    selected_on: str
    methods: dict[str, ActionTable]
    missing_files: list[str] = field(default_factory=list)
    sample: bool = False  # measured on invented motion
    motion: Motion = field(default_factory=dict)
    parameters: int = 0  # of the network

    @property
    def tables(self) -> list[ActionTable]:
        return [*self.methods.values(), *(table for rows in self.motion.values() for table in rows.values())]

    @property
    def missing_actions(self) -> list[str]:
        return [action for action in self.reader.actions if action not in self.windows]

    @property
    def has_actions(self) -> bool:
        return len(self.reader.actions) > 1

    @property
    def label_ms(self) -> list[int]:
        return self.reader.skeleton.label_ms(self.output_n)


def results_of(windows: Windows, reader: Dataset, *, protocol: str, epoch: int, selected_on: str,
               methods: dict[str, ActionTable], motion: Motion, parameters: int, sample: bool) -> Results:
    """Results for the windows they were measured on."""
    return Results(reader, windows.counts(), protocol, windows.input_n, windows.output_n, epoch, selected_on, methods,
                   windows.missing_files, sample, motion, parameters)


def over_actions(results: Results, actions: Sequence[str]) -> Results:
    """The same results as if only these actions had been tested on."""
    if set(actions) == set(results.windows):
        return results

    def over(tables: dict[str, ActionTable]) -> dict[str, ActionTable]:
        own = {name: {action: table[action] for action in actions} for name, table in tables.items()}
        return {name: table | {'avg': [sum(errors) / len(actions) for errors in zip(*table.values(), strict=True)]}
                for name, table in own.items()}

    return replace(results, windows={action: results.windows[action] for action in actions}, methods=over(results.methods),
                   motion={measure: over(tables) for measure, tables in results.motion.items()})


def table_frames(results: Results) -> list[int]:
    """Indices of the predicted frames that the tables show: the field's labels, as far as the prediction reaches."""
    return label_frames(results.reader, results.output_n)


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

    def rounded(tables: dict[str, ActionTable]) -> dict[str, ActionTable]:
        return {name: {action: [round(error, 4) for error in errors] for action, errors in table.items()}
                for name, table in tables.items()}

    return {
        'dataset': results.reader.name, 'protocol': results.protocol, 'input_n': results.input_n,
        'output_n': results.output_n, 'epoch': results.epoch, 'selected_on': results.selected_on,
        'label_ms': results.label_ms, 'true_ms': skeleton.true_ms(results.output_n),
        'mm_scale_to_true': skeleton.mm_scale_to_true, 'windows': results.windows,
        'missing_actions': results.missing_actions, 'missing_files': results.missing_files,
        'sample': results.sample,
        'methods': rounded(results.methods), 'parameters': results.parameters,
        'motion': {measure: rounded(tables) for measure, tables in results.motion.items()},
    }


def read_results(path: Path) -> Results:
    """What `write_all` left in a results.json. InputError where it is none."""
    try:
        content = json.loads(path.read_bytes())
        results = Results(dataset_named(content['dataset']), content['windows'], content['protocol'], content['input_n'],
                          content['output_n'], content['epoch'], content['selected_on'], content['methods'],
                          content['missing_files'], content['sample'], content.get('motion', {}), content.get('parameters', 0))
        complete = results.windows and all(len(table[action]) == results.output_n for table in results.tables
                                           for action in (*results.windows, 'avg'))
        check_values(results)
    except FileNotFoundError:
        raise InputError(f'{path}: no results there; evaluate the run first, with --is_eval') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f'{path}: is not a results.json of this version ({repr(error)[:200]}); evaluate the run again, with '
                         '--is_eval') from None
    if not complete or not {NETWORK, PREDICTED, *BASELINES} <= results.methods.keys():
        raise InputError(f'{path}: lacks errors that it should hold; evaluate the run again, with --is_eval')
    return results


def check_values(results: Results) -> None:
    """ValueError or TypeError if a value is not of its kind."""
    whole = [results.input_n, results.output_n, results.epoch, results.parameters, *results.windows.values()]
    words = [results.protocol, results.selected_on, *results.missing_files]
    errors = [error for table in results.tables for row in table.values() for error in row]
    if not all(isinstance(number, int) for number in whole) or not all(isinstance(word, str) for word in words):
        raise ValueError('a number is no whole one, or a name no word')
    if not set(results.windows) <= set(results.reader.actions) or not math.isfinite(sum(errors)):
        raise ValueError('an error is not finite, or an action not the dataset\'s')


def markdown(results: Results) -> str:
    """The report: this run and its baselines, the published rows beside them, each action, and how to read it."""
    frames = table_frames(results)
    sections = [heading(results), markdown_table(results, frames, summary_rows(results, frames))]
    published, notes = published_section(results, frames)
    if published:
        title = 'Published' + (f', mean of the same {len(results.windows)} actions' if results.has_actions else '')
        title += ' (on the recordings: nothing to compare this run with)' if results.sample else ''
        sections += [f'{title}:', markdown_table(results, frames, published)]
    if results.has_actions:
        name, table = next(iter(results.methods.items()))
        rows = [(action, [errors[f] for f in frames]) for action, errors in table.items()]
        sections += [f'{name} by action:', markdown_table(results, frames, rows)]
    if results.motion:
        before, after = motion_sentences(results.motion, results.reader.skeleton)
        sections += [before, markdown_table(results, frames, motion_rows(results.motion, frames)), after]
    return '\n\n'.join([*sections, caveats(results, notes)]) + '\n'


def heading(results: Results) -> str:
    """Two lines: what was measured, over what."""
    drawn = f'{results.protocol} for each {results.reader.drawn_for}, so'
    missing = f' (missing: {", ".join(results.missing_actions)})' if results.missing_actions else ''
    over = (f'mean of {len(results.windows)} of {len(results.reader.actions)} actions{missing}' if results.has_actions
            else 'mean of the windows')
    on = f'sample motion in the layout of {results.reader.title}' if results.sample else results.reader.title
    return (f'## KSOF on {on}: {results.input_n} observed, {results.output_n} predicted frames\n\n'
            f'MPJPE in mm at the frame, {over}; {"all" if results.protocol == "all" else drawn} '
            f'{sum(results.windows.values())} test windows; epoch {results.epoch}, selected on '
            f'{results.selected_on}' + (f'; {results.parameters / 1e6:.2f} M parameters.' if results.parameters else '.'))


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


def published_beside(results: Results, labels: list[int], only: Sequence[str] = ()) -> tuple[list[PublishedRow], list[str]]:
    """Published rows with any of these labels over the actions of the results, this protocol first and others marked so.

    only: parts of the names to show, all if empty. The second list names methods published as an average that does not compare.
    """
    rows, left_out = published_rows(results.reader.name, list(results.windows), whole_set=not results.missing_actions)

    def wanted(name: str) -> bool:
        return not only or any(part.lower() in name.lower() for part in only)

    rows = [row for row in rows if wanted(row.method) and any(label in row.errors for label in labels)]
    rows.sort(key=lambda row: row.protocol != results.protocol)
    marked = [row if row.protocol == results.protocol
              else replace(row, method=f'{row.method} [other protocol: {row.protocol} windows]') for row in rows]
    return marked, [name for name in left_out if wanted(name)]


def published_section(results: Results, frames: list[int],
                      only: Sequence[str] = ()) -> tuple[list[tuple[str, list[float | None]]], list[str]]:
    """Published rows at the shown labels, and notes on their sources."""
    labels = [results.label_ms[f] for f in frames]
    rows, left_out = published_beside(results, labels, only)
    table = [(row.method, [row.errors.get(label) for label in labels]) for row in rows]
    sources = sorted({f'{row.method.split(" [")[0]}: {row.source}' for row in rows})
    notes = [f'Sources of the published rows: {"; ".join(sources)}.'] if sources else []
    if left_out:
        notes.append(f'Not shown, as only an average over all {len(results.reader.actions)} actions is published: '
                     f'{", ".join(left_out)}.')
    return table, notes


def caveats(results: Results, notes: list[str]) -> str:
    """What the numbers do and do not say, as a list."""
    skeleton = results.reader.skeleton
    lines = [
        f'The field scores {len(skeleton.joints)} joints: {len(skeleton.predicted)} predicted, {len(skeleton.copied)} copied '
        f'from those, {len(skeleton.joints) - len(skeleton.predicted) - len(skeleton.copied)} taken from the truth; '
        f'"predicted joints only" is the mean of the {len(skeleton.predicted)}.',
        'Epochs here are not selected on test data. KSOF, PGBIG and GGMotion picked the best epoch on the test set, '
        'and a model trained for 10 frames is worth 1-2 mm (up to 10 mm on 3DPW) over one for 25 or 30 at the same label.',
    ]
    if results.missing_files:
        lines.append(f'Not evaluated, as the files are missing: {", ".join(results.missing_files)}. The published rows '
                     'include them.')
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
    return text_table(cells)


def text_table(cells: list[list[str]], names: int = 1) -> str:
    """A Markdown table that reads well as text too: heads first; columns of names to the left, the others to the right."""
    widths = [max([0 if column < names else 7, *(len(row[column]) for row in cells)]) for column in range(len(cells[0]))]
    lines = ['| ' + ' | '.join(f'{cell:{"<" if column < names else ">"}{widths[column]}}' for column, cell in enumerate(row))
             + ' |' for row in cells]
    rule = '|' + '|'.join('-' * (width + 1) + ('-' if column < names else ':') for column, width in enumerate(widths)) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])
