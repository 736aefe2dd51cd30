"""Tunesmith: a spec in, a reproducible and self-measuring LLM project out."""

__version__ = "0.3.0"
