"""See the tree in README.md."""
