"""The loop, and what it needs to stop at any moment and go on. Takes built objects, never specs, and knows no arm."""
