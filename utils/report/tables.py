"""Writes pages of text and tables: as Markdown for a file, and as aligned text for a terminal."""
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from utils.common.errors import printable

WIDEST = 110  # columns that running text fills at most, however wide the terminal is
NARROWEST_NAME, WIDEST_HEAD = 18, 16  # columns that a name keeps at least, and a title's word gets at most
GAP = '  '


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Notes:
    """A list of sentences."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    cells: rows of equal length; the first ones are titles of the columns.
    names: number of columns at the left that hold names; the others hold values.
    heads: number of rows of titles.
    best: (row, column) of the values that a terminal marks with a star.
    """

    cells: Sequence[Sequence[str]]
    names: int = 1
    heads: int = 1
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Row:
    """A method's errors.

    values: errors in mm, one for each column; None where there is no value.
    rival: whether it competes with the other rivals for the best value, as it was measured like them.
    """

    name: str
    values: Sequence[float | None]
    rival: bool = True


Block = str | Heading | Notes | Table


def number(value: float | None) -> str:
    """Formats a value with two decimals, or as a dash where there is none."""
    return '-' if value is None else f'{value:.2f}'


def best_rows(rows: Sequence[Row]) -> list[set[int]]:
    """Returns for each column the indices of the rivals with the lowest value.

    Values are compared as they are shown, with two decimals.
    A column where fewer than two rivals have a value has no best one.
    """
    best = []
    for column in range(len(rows[0].values)) if rows else ():
        found = {k: round(value, 2) for k, row in enumerate(rows)
                 if row.rival and (value := row.values[column]) is not None}
        lowest = min(found.values(), default=None)
        best.append({k for k, value in found.items() if value == lowest} if len(found) > 1 else set())
    return best


def value_table(heads: Sequence[Sequence[str]], rows: Sequence[Row]) -> Table:
    """Makes a table with one row for each method; the best value of each column is marked.

    heads: rows of titles, as long as a method's row.
    """
    best = {(len(heads) + k, 1 + column) for column, found in enumerate(best_rows(rows)) for k in found}
    cells = [*heads, *([row.name, *map(number, row.values)] for row in rows)]
    return Table(cells, heads=len(heads), best=frozenset(best))


def markdown(blocks: Sequence[Block]) -> str:
    """Formats a page as Markdown."""
    return '\n\n'.join(map(markdown_block, blocks)) + '\n'


def markdown_block(block: Block) -> str:
    """Formats one part of a page as Markdown."""
    if isinstance(block, Table):
        return markdown_table(block.cells, block.names)
    if isinstance(block, Heading):
        return f'{"#" * block.level} {markdown_text(block.text)}'
    if isinstance(block, Notes):
        return '\n'.join(f'- {markdown_text(line)}' for line in block.lines)
    return markdown_text(block)


def markdown_text(text: str) -> str:
    """Escapes what would be HTML or a link in Markdown: names of files may be part of a text."""
    parts = re.split('(`[^`]*`)', printable(text))  # code spans show all as it is
    return ''.join(part if k % 2 else part.replace('<', '&lt;').replace('](', ']\\(')
                   for k, part in enumerate(parts))


def markdown_table(cells: Sequence[Sequence[str]], names: int = 1) -> str:
    """Formats a Markdown table whose columns are aligned in the source too.

    cells: rows of texts; the first one is the head.
    names: number of columns at the left that are aligned to the left; the others are aligned to the right.
    """
    cells = [[markdown_text(cell).replace('|', '\\|') for cell in row] for row in cells]
    widths = [max(0 if column < names else 7, *(len(row[column]) for row in cells))
              for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        padded = [f'{cell:{"<" if column < names else ">"}{widths[column]}}'
                  for column, cell in enumerate(row)]
        lines.append(f'| {" | ".join(padded)} |')
    rules = ['-' * (width + 1) + ('-' if column < names else ':') for column, width in enumerate(widths)]
    return '\n'.join([lines[0], f'|{"|".join(rules)}|', *lines[1:]])


def terminal_columns() -> int:
    """Returns the columns of the terminal, from COLUMNS or the terminal itself; 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def terminal(blocks: Sequence[Block], columns: int | None = None) -> str:
    """Formats a page as text for a terminal.

    columns: width to stay within, in characters; that of this terminal if not given.
    """
    columns = columns or terminal_columns()
    parts, explained = [], False
    for block in blocks:
        parts.append(terminal_block(block, columns))
        if isinstance(block, Table) and block.best and not explained:
            parts[-1] += '\n* lowest error of those that compare'
            explained = True
    return '\n\n'.join(parts) + '\n'


def terminal_block(block: Block, columns: int) -> str:
    """Formats one part of a page as text of at most `columns` characters a line."""
    if isinstance(block, Table):
        return aligned_table(block, columns)
    width = min(columns, WIDEST)
    if isinstance(block, Heading):
        lines = wrapped(block.text, width)
        return '\n'.join([*lines, ('=' if block.level < 3 else '-') * max(map(len, lines))])
    if isinstance(block, Notes):
        return '\n'.join(f'{"  " if k else "- "}{line}' for text in block.lines for k, line in
                         enumerate(wrapped(text, width - 2)))
    return '\n'.join(wrapped(block, width))


def wrapped(text: str, width: int) -> list[str]:
    """Breaks a text into lines of at most `width` columns; returns at least one line."""
    return textwrap.wrap(printable(text), width, break_on_hyphens=False) or ['']


def aligned_table(table: Table, columns: int | None = None) -> str:
    """Formats a table as aligned text within `columns`.

    Long names and titles continue on the next line.
    Columns of values that do not fit stand in another table below.
    """
    columns = columns or terminal_columns()
    starred = {column for _, column in table.best}
    cells = [[printable(cell) + ('*' if (r, c) in table.best else ' ' if c in starred else '')
              for c, cell in enumerate(row)] for r, row in enumerate(table.cells)]
    widths = [column_width(cells, c, table) for c in range(len(cells[0]))]
    names, values = list(range(table.names)), list(range(table.names, len(widths)))
    room = columns - sum(widths[c] + len(GAP) for c in values) - len(GAP) * (len(names) - 1)
    widest = max(names, key=lambda c: widths[c])
    excess = sum(widths[c] for c in names) - room
    if excess > 0:
        widths[widest] = min(widths[widest], max(widths[widest] - excess, NARROWEST_NAME))
    parts: list[str] = []
    left = columns - sum(widths[c] + len(GAP) for c in names) + len(GAP)
    while values or not parts:
        taken, used = 0, 0
        while taken < len(values) and (taken == 0 or used + widths[values[taken]] + len(GAP) <= left):
            used += widths[values[taken]] + len(GAP)
            taken += 1
        parts.append('\n'.join(drawn_lines(cells, [*names, *values[:taken]], widths, table)))
        values = values[taken:]
    return '\n\n'.join(parts)


def column_width(cells: Sequence[Sequence[str]], column: int, table: Table) -> int:
    """Returns how many characters a column asks for.

    A name and a value ask for all of theirs, a title above values for its longest word.
    """
    heads, body = cells[:table.heads], cells[table.heads:]
    width = max((len(row[column]) for row in body), default=0)
    if column < table.names:
        return max(width, *(len(row[column]) for row in heads))
    words = [len(word) for row in heads for word in row[column].split()]
    star = any(column == marked for _, marked in table.best)
    return max(width, min(WIDEST_HEAD, max(words, default=0)) + star, 1)


def drawn_lines(cells: Sequence[Sequence[str]], shown: list[int], widths: list[int],
                table: Table) -> Iterator[str]:
    """Yields the lines of these columns.

    Titles of several lines end just above the rule below them. The second line of a name is indented.

    cells: all rows, with their stars.
    shown: indices of the columns to draw.
    widths: width of every column in characters.
    """
    starred = {column for _, column in table.best}
    for r, row in enumerate(cells):
        is_head = r < table.heads
        parts = [cell_lines(row[c], widths[c], is_name=c < table.names, star=c in starred) for c in shown]
        if is_head:
            height = max(map(len, parts))
            parts = [[''] * (height - len(lines)) + lines for lines in parts]
        for line in zip_longest(*parts, fillvalue=''):
            yield GAP.join(f'{text:{"<" if c < table.names else ">"}{widths[c]}}'
                           for c, text in zip(shown, line, strict=True)).rstrip()
        if r == table.heads - 1:
            yield '-' * (sum(widths[c] for c in shown) + len(GAP) * (len(shown) - 1))


def cell_lines(text: str, width: int, *, is_name: bool, star: bool) -> list[str]:
    """Breaks one cell into lines of at most `width` columns.

    is_name: indents all lines but the first.
    star: keeps the last column free for a star.
    """
    if len(text) <= width:
        return [text]
    width -= star
    words = [piece for word in text.split()
             for piece in ([word] if len(word) <= width else cut_word(word, width - 2))]
    lines = textwrap.wrap(' '.join(words), width, break_on_hyphens=False,
                          subsequent_indent='  ' if is_name else '')
    return [line + ' ' * star for line in lines] or ['']


def cut_word(word: str, width: int) -> list[str]:
    """Cuts a word into pieces of at most `width` columns, after underscores and slashes where it has them."""
    pieces = ['']
    for part in re.split('(?<=[_/])', word):
        if pieces[-1] and len(pieces[-1] + part) > width:
            pieces.append('')
        pieces[-1] += part
    return [piece[start:start + width] for piece in pieces for start in range(0, len(piece), width)]
