"""Models that another process or library runs: parts of the groups `evaluate` and `judge`."""

from engine.core.params import Group, PositiveInt


class EndpointSettings(Group):
    """A model behind an OpenAI-compatible address. Its key, if it wants one, is in the variable ENDPOINT_API_KEY."""

    base_url: str  # ends in /v1
    model: str
    concurrency: PositiveInt  # requests under way at a time
    revision: str | None = (
        None  # changes when the model behind the name does, so that cached answers of both stay apart
    )


class GgufSettings(Group):
    """A model in a GGUF file, run by llama.cpp."""

    path: str
    sha256: str  # of the file, so that another one never goes unnoticed
    context: PositiveInt = 4096  # tokens, prompt and answer together
