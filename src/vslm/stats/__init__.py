"""Intervals and paired comparisons on arrays: pure numpy, and any randomness passed in.

No bootstrap over seeds: with three of them a percentile bootstrap's 95% interval covers far less than it says
(`tests/stats/test_simulations.py` measures it). Student-t is exact for normal noise.
"""
