"""Source `imagenet-api`: ImageNet's URL API, one page a class.

The protocol is the one ImageNet documented at http://image-net.org/download-API until 2021 and
mf1024/ImageNet-Datasets-Downloader speaks; ImageNet itself no longer serves it.
"""

from collections.abc import Iterator, Sequence

from allrounder.core.candidates import url_id
from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.urls import decode_url, decode_url_line
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import ImagenetApiSource
from allrounder.web.cache import cached_file
from allrounder.web.lists import MAX_PAGE, ListClient

_CORRECT = "correct its location"
_CALLS = {"urls": "imagenet.synset.geturls", "mapping": "imagenet.synset.geturls.getmapping"}
UNKNOWN = b"invalid url!"


def candidates(
    source: ImagenetApiSource, wnids: Sequence[str], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield what the API lists for each class; 'Invalid url!' means it does not know the class.

    Raises DataError when the API cannot be read or answers something else than a list.
    """
    for wnid in wnids:
        address = f"{source.location}/api/{_CALLS[source.form]}?wnid={wnid}"
        what = f"{source.name}: class {wnid}"
        page = cached_file(web, address, what, most=MAX_PAGE).read_bytes()
        page = page.removeprefix(b"\xef\xbb\xbf").strip()
        if page.lower().startswith(UNKNOWN):
            tally.pass_over("a class that the API does not know", wnid)
            continue
        if b"\0" in page[:4] or page.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{what}: {address} answered no UTF-8 text: {page[:60]!r}; {_CORRECT}")
        if page.lstrip()[:1] == b"<":
            raise DataError(
                f"{what}: {address} answered a web page, not a list: {page[:60]!r}; {_CORRECT}"
            )
        for line in page.split(b"\n"):
            if line := line.strip():
                tally.read += 1
                yield wnid, _candidate(wnid, line, source.form)


def _candidate(wnid: str, line: bytes, form: str) -> Candidate:
    if form == "mapping":
        image_id, url = (*line.split(None, 1), b"")[:2]
        if url:
            return Candidate(decode_url(image_id), decode_url_line(url))
    return Candidate(url_id(wnid, decode_url(line)), decode_url_line(line))
