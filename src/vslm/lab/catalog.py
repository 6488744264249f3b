"""Every spec by its name, for reading back what was recorded and for the command line. Written by hand.

A study may use a class of its own that is in no table: it runs, and is read back by importing that study.
"""

from vslm.data.sources import StandardLibrary, Text
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, Characters
from vslm.lab.changes import Depth, FeedforwardMultiplier, Loops, WidthScale
from vslm.lab.experiment import Averaging, Budget, Experiment, FreshStart
from vslm.lab.job import Job, Settings
from vslm.lab.screening import Screen
from vslm.lab.study import Primary, Study
from vslm.lab.tuning import LearningRates
from vslm.measure.loss_by_position import LossByPosition
from vslm.models.attention import Attention
from vslm.models.blocks import Block
from vslm.models.feedforward import GELU, SwiGLU
from vslm.models.language_model import Model
from vslm.models.normalizers import Sigmoid, Sink, Softmax
from vslm.models.norms import LayerNorm, RMSNorm
from vslm.models.positions import NoPositions, Rotary
from vslm.models.readouts import Tied, Untied
from vslm.models.residuals import PlainAdd, ScaledAdd
from vslm.models.roots import TokenPositionRoot, TokenRoot
from vslm.models.scales import FanIn, FixedStd
from vslm.optim.adamw import AdamW
from vslm.optim.schedules import WarmupCosine, WarmupStableDecay

MODELS = {
    "Model": Model,
    "Block": Block,
    "Attention": Attention,
    "Softmax": Softmax,
    "Sigmoid": Sigmoid,
    "Sink": Sink,
    "Rotary": Rotary,
    "NoPositions": NoPositions,
    "SwiGLU": SwiGLU,
    "GELU": GELU,
    "RMSNorm": RMSNorm,
    "LayerNorm": LayerNorm,
    "PlainAdd": PlainAdd,
    "ScaledAdd": ScaledAdd,
    "TokenRoot": TokenRoot,
    "TokenPositionRoot": TokenPositionRoot,
    "Tied": Tied,
    "Untied": Untied,
    "FixedStd": FixedStd,
    "FanIn": FanIn,
}
DATA = {"Text": Text, "StandardLibrary": StandardLibrary, "Splits": Splits, "BPE": BPE, "Characters": Characters}
OPTIM = {"AdamW": AdamW, "WarmupCosine": WarmupCosine, "WarmupStableDecay": WarmupStableDecay}
MEASURES = {"LossByPosition": LossByPosition}
LAB = {
    "Experiment": Experiment,
    "Budget": Budget,
    "FreshStart": FreshStart,
    "Averaging": Averaging,
    "Job": Job,
    "Settings": Settings,
    "Study": Study,
    "Primary": Primary,
    "Screen": Screen,
    "LearningRates": LearningRates,
    "Depth": Depth,
    "WidthScale": WidthScale,
    "FeedforwardMultiplier": FeedforwardMultiplier,
    "Loops": Loops,
}
KINDS: dict[str, type] = {**MODELS, **DATA, **OPTIM, **MEASURES, **LAB}
