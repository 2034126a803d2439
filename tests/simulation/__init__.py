"""The exporter in simulated time.

`scripts/simulate` runs worlds: the whole exporter on a clock, a network, a disk and processes
that a seed decides about, held against what it promises. `simulation.pacing` is another, older
and smaller one: many processes that share one server's rate limit.
"""
