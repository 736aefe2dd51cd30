"""Private data by the patterns of Presidio. They are more than ours, and it loads no language model for them.

Install it beside the locked packages: `python3 environment.py pip install "presidio-analyzer==2.2.366"`.
"""

from functools import cache, partial
from typing import Any

from engine.core.errors import ProjectError
from engine.data.check.pii import Spans
from engine.data.check.pii_prefilter import PATTERNS

_SURE_ENOUGH = 0.4  # of Presidio's scores: a phone number has that, a bare run of digits less
_MILDNESS = ("drop", "hash", "redact", "report")


def finder() -> Spans:
    """What finds private data in a text. Raises `ProjectError` if Presidio is not installed."""
    return partial(_private_spans, _recognizers())


def _private_spans(recognizers: list[Any], text: str, actions: dict[str, str]) -> list[tuple[int, int, str]]:
    spans = []
    for recognizer in recognizers:
        for span in recognizer.analyze(text, recognizer.supported_entities, None):
            if span.score >= _SURE_ENOUGH and span.entity_type not in PATTERNS["presidio_not_private"]:
                kind = PATTERNS["presidio"].get(span.entity_type, "identifier")
                # The stricter policy, then the surer kind, then the longer match.
                rank = _MILDNESS.index(actions[kind]), -span.score, span.start - span.end
                spans.append((rank, span.start, span.end, kind))
    taken: list[tuple[int, int, str]] = []
    for _, start, end, kind in sorted(spans):
        if all(end <= other or start >= stop for other, stop, _ in taken):
            taken.append((start, end, kind))
    return sorted(taken)


@cache
def _recognizers() -> list[Any]:
    """Presidio's recognizers by pattern, for texts of any language."""
    try:
        import tldextract
        from presidio_analyzer import PatternRecognizer, RecognizerRegistry
        from presidio_analyzer.predefined_recognizers import PhoneRecognizer
    except ImportError:
        fix = 'python3 environment.py pip install "presidio-analyzer==2.2.366"'
        raise ProjectError("Presidio is not installed", "curate.pii_engine: presidio", fix) from None
    # Presidio checks the domain of an address by a list that tldextract downloads; its own copy will do.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    return [known for known in registry.recognizers if isinstance(known, PatternRecognizer | PhoneRecognizer)]
