"""Documents to passages, passages to an index, questions to passages."""
