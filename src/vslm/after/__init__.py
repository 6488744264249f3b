"""What is done with finished runs: let them write, measure them, join folders, declare a rematch.

Not for: training. Nothing of a run is changed here; what is added lies beside it.
"""
