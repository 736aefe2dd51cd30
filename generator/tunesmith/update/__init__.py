"""Brings a project to another version of its template, or to other answers, by merging trees with git.

Data flows source, answers -> trees (old render, user, new render) -> merge -> plan -> apply.
"""
