"""Only the places that ARCHITECTURE.md names include a library. The rule is its table

    | library | headers | only in |

and nothing else: headers and places are what stands in backquotes there. A place ends with / (a folder) or is a file without its ending.
Tests may include what they like. A place that does not include the library any more is a finding too.
"""
import re

from finding import Finding

DOCUMENT = 'ARCHITECTURE.md'
HEADING = re.compile(r'^\|\s*library\s*\|\s*headers\s*\|\s*only in\s*\|\s*$', re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)


def rules(tree):
    """[(line, library, [start of a header, or *.ending], [place])]."""
    text = tree.read(DOCUMENT) if DOCUMENT in tree.paths else ''
    table = HEADING.search(text)
    if not table:
        return []
    result = []
    first = text.count('\n', 0, table.start()) + 1
    for number, line in enumerate(text[table.start():].split('\n'), first):
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if not line.startswith('|'):
            break
        if number >= first + 2:
            quoted = [re.findall(r'`([^`]+)`', cell) for cell in cells]
            result.append((number, cells[0], quoted[1], quoted[2]))
    return result


def matches(header, pattern):
    return header.endswith(pattern[1:]) if pattern.startswith('*') else header.startswith(pattern)


def is_test(path):
    return path.endswith(('_test.cc', '/testing.h')) or path.startswith('tests/') or '/testing/' in path


def check(tree):
    table = rules(tree)
    if not table:
        return [Finding(DOCUMENT, 1, 'table of libraries', 'not found: | library | headers | only in |')]
    findings, used = [], set()
    for path in tree.named('.cc', '.h', '.cu', '.cuh'):
        text = tree.read(path)
        for match in INCLUDE.finditer(text):
            for number, library, headers, places in table:
                if not any(matches(match[1], header) for header in headers):
                    continue
                place = next((place for place in places if path.startswith(place if place.endswith('/') else place + '.')), None)
                used.add((number, place))
                if place is None and not is_test(path):
                    line = text.count('\n', 0, match.start()) + 1
                    findings.append(Finding(path, line, f'include of {library}', f'{DOCUMENT} allows it only in {", ".join(places)}'))
    for number, library, _, places in table:
        findings += [Finding(DOCUMENT, number, f'`{place}`', f'does not include {library} any more')
                     for place in places if (number, place) not in used]
    return findings
