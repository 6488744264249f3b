"""Optimizers, alone or several as one; the groups that parameters fall into; schedules. Knows no model class."""
