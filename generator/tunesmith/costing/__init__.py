"""Cost arithmetic that the generator and generated projects share: links to the template's own files.

It imports nothing of Tunesmith, so `planner` and `costs` both rest on it.
"""
