"""Figures as plain dicts, in the one layout that all of them share (`axes.py`), and the same for paper (`paper.py`)."""
