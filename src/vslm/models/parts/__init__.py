"""What elements are made of: attention and its slots, feedforward, norms, roots, readouts. One file per idea."""
