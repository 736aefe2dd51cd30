"""Counts the tokens of raw data before a project exists: a sample of its records, and the model's tokenizer."""
