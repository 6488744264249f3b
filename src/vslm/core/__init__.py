"""Nothing about learning: specs, dotted paths, seeds, errors. Standard library only, so that every room may use it."""
