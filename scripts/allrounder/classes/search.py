"""Searches synsets by what people type: a name, a synonym, a part of it, or a misspelling."""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from allrounder.catalogue.synsets import (
    Synset,
    above_ilsvrc,
    all_synsets,
    find_synset,
    is_subtree,
    wnid_of,
)
from allrounder.core.errors import UsageError

_SIMILAR, _SIMILAR_SHORT, _SHORT = 0.78, 0.6, 4
"""difflib's ratio for a misspelt word; in words of up to four letters a swap costs more."""
_SWAPPED = 0.95
"""Of words with the same letters in another order, the most frequent typo: difflib gives less."""
_LONGEST = 80
"""Characters of a text that is checked for misspellings; the longest name has 47."""
_NAMED = 5
"""Synsets that an error names at most."""


_FOLDED = re.compile("['\u2019\u0300-\u036f]")
"""Apostrophes and accents, which are ignored."""


class Rank(IntEnum):
    """How well a synset matches, best first."""

    EXACT = 0  # a whole name, plural and hyphens aside; the wnid; the ILSVRC index
    START = 1  # a name starts with these words
    WORDS = 2  # a name has all these words, in any order
    WORD_STARTS = 3  # a name has words that start so
    TYPO = 4


@dataclass(frozen=True, slots=True)
class Match:
    """A synset and how it matches."""

    synset: Synset
    rank: Rank
    similarity: float = 1.0


def search(query: str) -> list[Match]:
    """The matching synsets, best first. Misspellings count only if nothing else matches.

    Within a rank, ILSVRC's classes come first, then their ancestors, then those with most URLs.
    """
    words = _words(query)
    if not words:
        return []
    matches = [
        Match(synset, rank)
        for synset in all_synsets().values()
        if (rank := _rank(synset, query.strip(), words)) is not None
    ]
    if not matches and len(query) <= _LONGEST:
        matches = list(_misspelt(words))
    return sorted(matches, key=_order)


def resolve(text: str) -> str:
    """The class key that a wnid, an ILSVRC index or a name means, with a `+` at its end if given.

    Raises UsageError, one line with the candidates, when it means none or more than one.
    """
    plus = "+" if is_subtree(text.strip()) else ""
    name = wnid_of(text.strip()).strip()
    if find_synset(name):
        return name + plus
    matches = search(name)
    exact = [match.synset for match in matches if match.rank is Rank.EXACT]
    first = [synset for synset in exact if _plain(synset.names[0]) == _plain(name)]
    found = first if len(first) == 1 else exact
    if len(found) == 1:
        return found[0].wnid + plus
    if found:
        listed = "; ".join(_described(synset) for synset in found[:_NAMED])
        more = "; ..." if len(found) > _NAMED else ""
        raise UsageError(
            f"{text!r} means {len(found)} synsets: {listed}{more}; give the wnid of the one you "
            f"mean, e.g. {found[0].wnid}{plus}"
        )
    close = "; ".join(_described(match.synset) for match in matches[:3])
    other = "try another name, or part of it. A class of your own is a line in params.yaml"
    hint = f"did you mean {close}? Give its wnid" if close else other
    raise UsageError(f"ImageNet has no synset {text!r}; {hint}")


def is_named(synset: Synset, text: str) -> bool:
    """Whether this is the synset's wnid, its ILSVRC index or one of its names."""
    return _rank(synset, text.strip(), _words(text) or ("",)) is Rank.EXACT


def _described(synset: Synset) -> str:
    parents = ", ".join(all_synsets()[wnid].names[0] for wnid in synset.hypernyms)
    return f"{synset.wnid} ({synset.names[0]}{f', a kind of {parents}' if parents else ''})"


def _order(match: Match) -> tuple[int, float, bool, bool, int, str]:
    synset = match.synset
    far = (synset.ilsvrc_index is None, synset.wnid not in above_ilsvrc())
    return match.rank, -match.similarity, *far, -synset.listed_urls, synset.wnid


def _rank(synset: Synset, query: str, words: tuple[str, ...]) -> Rank | None:
    index = synset.ilsvrc_index
    if query == synset.wnid or (index is not None and query == str(index)):
        return Rank.EXACT
    ranks = (_name_rank(name, words) for name in synset.names)
    return min((rank for rank in ranks if rank is not None), default=None)


def _name_rank(name: str, words: tuple[str, ...]) -> Rank | None:
    if words[0][:1] not in name.lower():
        return None  # nearly every name ends here
    own = _words(name)
    joined, query = "".join(own), "".join(words)
    if joined == query:
        return Rank.EXACT  # also `tea pot`, `T-shirt`, `Persian cats`
    if own[: len(words)] == words:
        return Rank.START
    if set(words) <= set(own):
        return Rank.WORDS
    if joined.startswith(query) or all(any(part.startswith(w) for part in own) for w in words):
        return Rank.WORD_STARTS
    return None


def _misspelt(words: tuple[str, ...]) -> Iterator[Match]:
    """Synsets with a name whose words resemble the query's words, one by one or joined."""
    single, whole = _vocabulary()
    like = [_similar_words(word, single) for word in words]
    joined = _similar_words("".join(words), whole)
    for synset in all_synsets().values():
        best = 0.0
        for own in map(_words, synset.names):
            each = [max((close.get(part, 0.0) for part in own), default=0.0) for close in like]
            # Of two names that have the words, the one with fewer others is more like it.
            spelt = sum(each) / max(len(own), len(each)) if min(each) else 0.0
            best = max(best, spelt, joined.get("".join(own), 0.0))
        if best:
            yield Match(synset, Rank.TYPO, round(best, 2))


def _similar_words(word: str, vocabulary: tuple[str, ...]) -> dict[str, float]:
    """The words that resemble a word, with their similarity."""
    cutoff = _SIMILAR_SHORT if len(word) <= _SHORT else _SIMILAR
    shorter = cutoff / (2 - cutoff)  # of two words that are so alike, one has this share at least
    least, most = shorter * len(word), len(word) / shorter
    near = [other for other in vocabulary if least <= len(other) <= most]
    close = difflib.get_close_matches(word, near, n=20, cutoff=cutoff)
    return {other: _similarity(other, word) for other in close}


def _similarity(one: str, other: str) -> float:
    if sorted(one) == sorted(other):
        return _SWAPPED
    return difflib.SequenceMatcher(None, one, other).ratio()


@cache
def _vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All words of all names, and all names with their words joined."""
    names = {_words(name) for synset in all_synsets().values() for name in synset.names}
    words = {word for name in names for word in name}
    return tuple(sorted(words)), tuple(sorted(map("".join, names)))


def _plain(text: str) -> str:
    return "".join(_words(text))


@cache
def _words(text: str) -> tuple[str, ...]:
    """The words in lower case and singular, separated at hyphens, underscores and the like."""
    text = _FOLDED.sub("", unicodedata.normalize("NFKD", text.lower()))
    words = re.findall(r"[^\W_]+", text)
    return tuple(map(_singular, words))


def _singular(word: str) -> str:
    """A word without a plural ending, by rules of thumb; only for comparisons."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
