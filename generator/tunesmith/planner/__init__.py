"""Turns a spec into explicit values: pure functions over rows of the catalogues."""
