"""What a path may visit: blocks, changes of width, states of loops, exits. `element.py` is the interface."""
