"""Numbers from a model and a batch. A measure watches and never touches: no logit changes because it is taken."""
