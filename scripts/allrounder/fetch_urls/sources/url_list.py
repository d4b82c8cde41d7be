"""Source `url-list`: a list as ImageNet published it in Fall 2011, `<wnid>_<n><tab><url>` a line.

Read in one pass for all classes, never whole in memory: the real one has 14 million lines. A list
from the web is kept in the cache.
"""

import re
from collections.abc import Iterator, Sequence

from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.urls import decode_url, decode_url_line
from allrounder.fetch_urls.sources.packed import MAX_LINE, lines, open_list
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import UrlListSource
from allrounder.web.lists import ListClient

_FORM = "'<wnid>_<n><tab><url>'"
_LINE = re.compile(rb"n[0-9]{8}_[^\s]*[ \t]")
_EXPECTED = re.compile(rb"\t([0-9a-fA-F]{64})\s*$")


def candidates(
    source: UrlListSource, wnids: Sequence[str], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the lines of the classes, in the list's order. Spaces may stand for the tab.

    Raises DataError when the list cannot be opened, differs from `sha256`, is cut off or has
    no line of this form.
    """
    what, first, is_list = source.name, b"", False
    wanted = {wnid.encode(): wnid for wnid in wnids}
    with open_list(source.location, web, what, source.sha256) as file:
        for line in lines(file, what):
            if line and line.isspace():
                continue
            tally.read += 1
            first = first or line or b"(a line without end)"
            if line is None:
                tally.pass_over(f"a line of more than {MAX_LINE:,} bytes", f"line {tally.read:,}")
                continue
            if not _LINE.match(line):
                tally.pass_over(f"no line of the form {_FORM}", line)
                continue
            is_list = True
            # Nearly every line belongs to another class: compare its first bytes only.
            if (wnid := wanted.get(line[:9])) is not None:
                image_id, url = (*line.split(None, 1), b"")[:2]
                expected = ""
                if found := _EXPECTED.search(url):
                    url, expected = url[: found.start()], found[1].decode().lower()
                if url.strip():
                    url_text = decode_url_line(url)
                    yield wnid, Candidate(decode_url(image_id), url_text, expected_sha256=expected)
                else:
                    tally.pass_over("no URL", line)
    if not is_list:
        raise DataError(
            f"{what}: no list of lines {_FORM}; it starts with {first[:60]!r}; correct its location"
        )
