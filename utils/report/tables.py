"""Pages of text and tables: written as Markdown for a file, and as aligned text for a terminal."""
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

WIDEST = 110  # columns that running text fills at most, however wide the terminal is
NARROWEST_NAME, WIDEST_HEAD = 18, 16  # columns that a name keeps, and that one word of a head may ask for
GAP = '  '


@dataclass(frozen=True)
class Heading:
    """A heading of the given level."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Notes:
    """A list of sentences."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table of texts, its heads first.

    cells: rows of equal length.
    names: columns of names at the left; the others hold values.
    heads: rows of heads at the top.
    best: (row, column) of the values that a terminal marks with a star.
    """

    cells: Sequence[Sequence[str]]
    names: int = 1
    heads: int = 1
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Row:
    """A method's errors in mm; None where there is no value.

    rival: measured as the other rivals are, so that the lowest of them can be called the best.
    """

    name: str
    values: Sequence[float | None]
    rival: bool = True


Block = str | Heading | Notes | Table


def number(value: float | None) -> str:
    """Two decimals, or a dash where there is no value."""
    return '-' if value is None else f'{value:.2f}'


def best_rows(rows: Sequence[Row]) -> list[set[int]]:
    """For each column, the indices of the rivals with the lowest value; none where fewer than two have one."""
    best = []
    for column in range(len(rows[0].values)) if rows else ():
        found = {k: round(value, 2) for k, row in enumerate(rows)
                 if row.rival and (value := row.values[column]) is not None}
        best.append({k for k, value in found.items() if value == min(found.values())} if len(found) > 1 else set())
    return best


def value_table(heads: Sequence[Sequence[str]], rows: Sequence[Row]) -> Table:
    """A table with one row for each method; the best value of each column is marked."""
    best = {(len(heads) + k, 1 + column) for column, found in enumerate(best_rows(rows)) for k in found}
    cells = [*heads, *([row.name, *map(number, row.values)] for row in rows)]
    return Table(cells, heads=len(heads), best=frozenset(best))


def markdown(blocks: Sequence[Block]) -> str:
    """The page as Markdown."""
    return '\n\n'.join(map(markdown_block, blocks)) + '\n'


def markdown_block(block: Block) -> str:
    if isinstance(block, Table):
        return markdown_table(block.cells, block.names)
    if isinstance(block, Heading):
        return f'{"#" * block.level} {printable(block.text)}'
    if isinstance(block, Notes):
        return '\n'.join(f'- {printable(line)}' for line in block.lines)
    return printable(block)


def markdown_table(cells: Sequence[Sequence[str]], names: int = 1) -> str:
    """A Markdown table whose columns are aligned in the source too.

    cells: rows of texts, the head first.
    names: columns of names at the left, which are aligned to the left; the others to the right.
    """
    cells = [[printable(cell).replace('|', '\\|').replace('<', '&lt;') for cell in row] for row in cells]
    widths = [max(0 if column < names else 7, *(len(row[column]) for row in cells)) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        padded = [f'{cell:{"<" if column < names else ">"}{widths[column]}}' for column, cell in enumerate(row)]
        lines.append(f'| {" | ".join(padded)} |')
    rules = ['-' * (width + 1) + ('-' if column < names else ':') for column, width in enumerate(widths)]
    return '\n'.join([lines[0], f'|{"|".join(rules)}|', *lines[1:]])


def printable(text: str) -> str:
    """The text with what would move a cursor or break a line escaped."""
    return ''.join(c if c.isprintable() or c == '\n' else ascii(c)[1:-1] for c in text)


def terminal_columns() -> int:
    """Columns of the terminal, from COLUMNS or the terminal itself; 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def terminal(blocks: Sequence[Block], columns: int | None = None) -> str:
    """The page as text for a terminal.

    columns: width to stay within; that of this terminal if not given.
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
    """Lines of at most `width` columns; at least one line."""
    return textwrap.wrap(printable(text), width, break_on_hyphens=False) or ['']


def aligned_table(table: Table, columns: int | None = None) -> str:
    """A table as aligned text within `columns`.

    Long names and heads continue on the next line. Columns of values that do not fit stand in another table below.
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
    """Columns that a table's column asks for: a name whole, a value whole, a head its longest word."""
    heads, body = cells[:table.heads], cells[table.heads:]
    width = max((len(row[column]) for row in body), default=0)
    if column < table.names:
        return max(width, *(len(row[column]) for row in heads))
    words = [len(word) for row in heads for word in row[column].split()]
    star = any(column == marked for _, marked in table.best)
    return max(width, min(WIDEST_HEAD, max(words, default=0)) + star, 1)


def drawn_lines(cells: Sequence[Sequence[str]], shown: list[int], widths: list[int], table: Table) -> Iterator[str]:
    """The lines of these columns: heads stand on the rule below them, what continues a name is moved in."""
    for r, row in enumerate(cells):
        is_head = r < table.heads
        parts = [cell_lines(row[c], widths[c], is_name=c < table.names, star=any(c == column for _, column in table.best))
                 for c in shown]
        if is_head:
            height = max(map(len, parts))
            parts = [[''] * (height - len(lines)) + lines for lines in parts]
        for line in zip_longest(*parts, fillvalue=''):
            yield GAP.join(f'{text:{"<" if c < table.names else ">"}{widths[c]}}'
                           for c, text in zip(shown, line, strict=True)).rstrip()
        if r == table.heads - 1:
            yield '-' * (sum(widths[c] for c in shown) + len(GAP) * (len(shown) - 1))


def cell_lines(text: str, width: int, *, is_name: bool, star: bool) -> list[str]:
    """One cell as lines of at most `width` columns. star: keep the last column free for a star."""
    if len(text) <= width:
        return [text]
    width -= star
    words = [piece for word in text.split() for piece in ([word] if len(word) <= width else cut_word(word, width - 2))]
    lines = textwrap.wrap(' '.join(words), width, break_on_hyphens=False, subsequent_indent='  ' if is_name else '')
    return [line + ' ' * star for line in lines] or ['']


def cut_word(word: str, width: int) -> list[str]:
    """A word in pieces of at most `width` columns, cut after underscores where it has them."""
    pieces = ['']
    for part in re.split('(?<=[_/])', word):
        if pieces[-1] and len(pieces[-1] + part) > width:
            pieces.append('')
        pieces[-1] += part
    return [piece[start:start + width] for piece in pieces for start in range(0, len(piece), width)]
