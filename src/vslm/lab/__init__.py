"""Where specs, names and objects meet: what an experiment is, what a study asks, and how both are run."""
