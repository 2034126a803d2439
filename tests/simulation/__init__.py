"""Many processes that share one server's rate limit, in simulated time.

`python -m simulation` (with `src` and `tests` on the path) prints the figures that stand in
`docs/pacing.md`.
"""
