"""Many processes that share one server's rate limit, in simulated time.

`python -m simulation` and `python -m simulation.constants` (with `src` and `tests` on the path)
print the figures that stand in `docs/pacing.md`.
"""
