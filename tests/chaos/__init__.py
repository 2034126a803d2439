"""Delivery under fire: scenarios with a real receiver, counted and judged.

`scripts/chaos` runs all of them at full size and prints a table; `test_scenarios.py` runs
each at a size that suits a test. `catalogue.py` lists them.
"""
