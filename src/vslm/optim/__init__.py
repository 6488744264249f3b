"""Optimizers, the groups their parameters fall into, and schedules of the learning rate. Knows no model class."""
