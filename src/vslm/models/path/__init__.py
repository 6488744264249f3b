"""A bank of named elements and the path through it: visits, repeats, shared weights. Nothing here holds a weight."""
