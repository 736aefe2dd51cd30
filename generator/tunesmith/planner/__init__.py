"""Turns a spec into explicit values, and says what they take: pure functions over rows of the catalogues.

`memory.estimate` and `throughput.estimate` take an `Architecture` and a `Setup`; `plan.plan` puts everything together.
Nothing here imports `costs`: prices are passed in.
"""
