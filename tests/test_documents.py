"""Documents tell the truth about the tree: links, docs/design.md's map, names in the network's figure."""
import re
from xml.etree import ElementTree

import pytest

from tests.conftest import PROJECT

DOCUMENTS = [*PROJECT.glob('*.md'), *(PROJECT / 'docs').glob('*.md'),
             *(PROJECT / 'checkpoint').glob('README.md'),
             *(PROJECT / 'checkpoint').glob('cmu_*/MODEL_CARD.md')]
SVG = '{http://www.w3.org/2000/svg}'


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.*)$', text, flags=re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document):
    lost = []
    for link in re.findall(r'\]\(([^)\s]+)\)', document.read_text()):
        path, _, anchor = link.partition('#')
        if path.startswith(('http:', 'https:')):
            continue
        target = document.parent / path if path else document
        if not target.exists() or anchor and anchor not in anchors(target.read_text()):
            lost.append(link)
    assert not lost


def test_the_map_finds_what_it_is_asked_for():
    table = (PROJECT / 'docs' / 'design.md').read_text().split('## Where things live')[1].split('\n## ')[0]
    rows = [[re.findall(r'`([^`]+)`', cell) for cell in line.split('|')[2:4]]
            for line in table.splitlines() if line.startswith('| ') and '`' in line]
    assert len(rows) == 10
    for files, [name] in rows:
        assert all((PROJECT / file).is_file() for file in files), files
        for text in [(PROJECT / file).read_text() for file in files if file.endswith('.py')]:
            assert re.search(rf'^(def|class) {name}\b', text, flags=re.MULTILINE), (files, name)


def test_names_in_the_figure_are_names_in_the_code():
    code = '\n'.join(path.read_text() for path in (PROJECT / 'model').glob('*.py'))
    texts = [node.text
             for node in ElementTree.parse(PROJECT / 'docs' / 'pictures' / 'network.svg').iter(f'{SVG}text')
             if 'c' in node.get('class').split()]
    names = {name for text in texts for name in re.findall(r'[A-Za-z_]\w+', text)}
    assert {'TemporalBlock', 'GraphConv', 'FrameGate', 'top_k', 'mlp', 'fused'} <= names
    assert not [name for name in names if not re.search(rf'\b{name}\b', code)]
