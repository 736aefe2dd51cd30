"""Group `retrieval`."""

from typing import Annotated, Literal

from pydantic import Field

from engine.core.params import Group, NonNegativeInt, Params, PositiveInt


class RetrievalSettings(Group):
    passages: PositiveInt  # passages put into a prompt
    chunk_words: Annotated[int, Field(ge=5)]  # longest passage
    overlap_words: NonNegativeInt  # words that a passage repeats of the one before
    ranking: Literal["bm25", "dense", "fused"]
    store: Literal["memory", "lancedb"] = "memory"  # where the server looks up the passages' vectors


class RetrievalParams(Params):
    """What the index needs to know."""

    retrieval: RetrievalSettings
