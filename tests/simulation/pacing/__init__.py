"""Many processes that share one server's rate limit, in simulated time.

`python -m simulation.pacing` and `python -m simulation.pacing.constants` (with `src` and `tests`
on the path) print the figures that stand in `docs/pacing.md`.
"""
