"""Texts as sets of short runs, hashed: four characters of short texts, three words of longer ones."""

import mmap
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

CHARACTERS = 4  # in a shingle of short texts
WORDS = 3  # in a shingle of longer texts
SHORT_TEXT_WORDS = 15  # median below this: word shingles would be too few to compare
CHUNK_CHARACTERS = 65_536  # hashed at a time, in 8 bytes each: few enough to stay in the processor's cache
Hashes = NDArray[np.uint32]
Counts = NDArray[np.int64]
_BLANK = ord(" ")
_BASE = 0x5851F42D4C957F2D  # odd, so that it has an inverse
_INVERSE = pow(_BASE, -1, 2**64)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def unit_for(words: Sequence[int] | Counts) -> str:
    """``char4`` if most texts are short, else ``word3``; ``words`` are the texts' word counts."""
    return "char4" if float(np.median(words if len(words) else [0])) < SHORT_TEXT_WORDS else "word3"


def shingled(texts: Sequence[str], unit: str) -> tuple[Hashes, Counts]:
    """The distinct shingle hashes of each text, ascending within a text, end to end; and how many each text has.

    Texts are as `casefolded` gives them.
    """
    short = unit == "char4"
    parts, counts = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for chunk in _chunks(texts):
        elements, lengths = _characters(chunk) if short else _words(chunk)
        size = CHARACTERS if short else WORDS
        hashes, distinct = _distinct(_ngrams(elements, lengths, size), lengths - size + 1)
        parts.append(hashes)
        counts.append(distinct)
    return np.concatenate(parts), np.concatenate(counts)


class Shingles:
    """The shingle sets of many texts, end to end, in memory or in a file that is mapped.

    Attributes:
        hashes: every text's distinct shingle hashes, ascending within the text.
        starts: where each text's hashes begin; one more entry than there are texts.
        unit: ``char4`` or ``word3``.
    """

    def __init__(self, hashes: Hashes, starts: Counts, unit: str) -> None:
        self.hashes, self.starts, self.unit = hashes, starts, unit

    @classmethod
    def of_texts(cls, texts: Sequence[str], unit: str | None = None) -> "Shingles":
        """Cut texts, as `casefolded` gives them, into shingles of the unit that suits them."""
        unit = unit or unit_for([text.count(" ") + 1 for text in texts])
        hashes, counts = shingled(texts, unit)
        return cls(hashes, np.concatenate([[0], np.cumsum(counts)]), unit)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, index: int) -> Hashes:
        """The sorted shingle hashes of one text."""
        return np.asarray(self.hashes[self.starts[index] : self.starts[index + 1]])

    def of_many(self, indices: NDArray[np.int64]) -> tuple[Hashes, Counts]:
        """The hashes of some texts end to end, and how many each has."""
        sizes = self.starts[indices + 1] - self.starts[indices]
        return np.asarray(self.hashes[ranges(self.starts[indices], sizes)]), sizes

    def release(self) -> None:
        """Give the mapped file's pages back, so that memory does not grow with what was looked at."""
        mapped = getattr(self.hashes, "_mmap", None)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Runs of texts of about `CHUNK_CHARACTERS`, so that memory does not grow with the data."""
    begin, held = 0, 0
    for index, text in enumerate(texts):
        held += len(text)
        if held >= CHUNK_CHARACTERS:
            yield texts[begin : index + 1]
            begin, held = index + 1, 0
    if begin < len(texts):
        yield texts[begin:]


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _characters(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Code points of all texts end to end, and each text's length; short texts are padded to one shingle."""
    padded = [text.ljust(CHARACTERS) for text in texts]
    return _code_points("".join(padded)).astype(np.uint64), np.array([len(text) for text in padded])


def _words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """One hash for each word of all texts end to end, and each text's word count; short texts are padded.

    A word's hash is the polynomial of its bytes modulo 2^64. With running sums of `byte[i] * BASE^i` over the whole
    chunk it is one difference, shifted back to the word's start by the inverse of the base.
    """
    encoded = [text.encode() for text in texts]
    data, ends, lengths = _word_ends(encoded)
    if lengths.min() < WORDS:
        data, ends, lengths = _word_ends(
            [text + b" -" * max(0, WORDS - int(has)) for text, has in zip(encoded, lengths, strict=True)]
        )
    starts = np.concatenate([[0], ends[:-1] + 1])
    sums = np.cumsum(data * _powers(_BASE, len(data)))
    before = np.concatenate([[np.uint64(0)], sums[ends[:-1]]])
    elements = (sums[ends] - before) * _powers(_INVERSE, len(data))[starts]
    return elements, lengths


def _word_ends(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The texts joined with a blank after each, the places of the blanks, and the number of words of each text."""
    data = np.frombuffer(b" ".join([*texts, b""]), np.uint8)
    ends = np.flatnonzero(data == _BLANK)
    last = np.cumsum([len(text) + 1 for text in texts])
    return data, ends, np.diff(np.searchsorted(ends, last), prepend=0)


@cache
def _all_powers(base: int, count: int) -> NDArray[np.uint64]:
    return np.cumprod(np.concatenate([[np.uint64(1)], np.full(count - 1, base, np.uint64)]))


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """``base`` to the power of 0, 1, ... ``count`` - 1, modulo 2^64."""
    return _all_powers(base, 1 << max(count - 1, 1).bit_length())[:count]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over the whole word (splitmix64's finaliser)."""
    values = values * _MULTIPLIER
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _ngrams(elements: NDArray[np.uint64], lengths: NDArray[np.int64], size: int) -> Hashes:
    """One hash for every run of ``size`` elements that lies within one text."""
    mixed = mix(elements)
    last = len(elements) - size + 1
    total = mixed[:last].copy()
    for offset in range(1, size):
        total = total * _MULTIPLIER + mixed[offset : offset + last]
    ends = np.cumsum(lengths)
    inside = np.ones(len(elements), bool)
    for offset in range(1, size):
        inside[ends - offset] = False
    return (mix(total[inside[:last]]) >> np.uint64(32)).astype(np.uint32)


def _distinct(hashes: Hashes, lengths: NDArray[np.int64]) -> tuple[Hashes, NDArray[np.int64]]:
    """Each text's hashes sorted and without repeats, and how many are left of its ``lengths``."""
    owner = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    keys = (owner << np.uint64(32)) | hashes
    keys.sort()
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(lengths))
    return keys.astype(np.uint32), counts


def ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices ``start .. start + size`` of every range, end to end."""
    before = np.cumsum(sizes) - sizes
    indices: NDArray[np.int64] = np.arange(sizes.sum()) + np.repeat(starts - before, sizes)
    return indices
