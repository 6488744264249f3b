"""What training lowers: a function of a batch and a step, as a value in `Experiment(objective=...)`.

    NextToken       the mean loss of the next token                       next_token.py
    Exits           and that of further exits of the model                exits.py
    DrawnLoops      another one, with numbers of loops drawn at each step  drawn_loops.py
    Distillation    the predictions of a finished run, beside the text    distillation.py
    ContextDistillation    those of a run that has a text in its context  context_distillation.py

Adding one: docs/adding-an-objective.md. What is recorded as the training loss is the loss of every token at the last
stream, whatever is lowered; evaluation knows nothing of the objective.
"""
