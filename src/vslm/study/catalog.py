"""Every spec by its name, for reading back what was recorded and for the command line. Written by hand.

A study may use a class of its own that is in no table: it runs, and is read back by importing that study.
"""

from vslm.data.sources import (
    AssociativeRecall,
    FineWebEdu,
    Hub,
    OpenWebText,
    Questions,
    Squad,
    StandardLibrary,
    Text,
    TinyStories,
    WikiText,
    Worlds,
)
from vslm.data.splits import Splits
from vslm.data.tokenizer_of_run import TokenizerOf
from vslm.data.tokenizers import BPE, Characters
from vslm.data.word_tokenizer import Words, WorldWords
from vslm.data.worlds.shards import Mix
from vslm.data.worlds.universe import SomeFacts, Universe
from vslm.knowledge.bm25 import BM25
from vslm.knowledge.hops import Hops
from vslm.knowledge.loaded_answers import LoadedAnswers
from vslm.knowledge.oracle import Oracle
from vslm.knowledge.random_passages import Random
from vslm.knowledge.retrieved import Retrieved
from vslm.knowledge.states import OwnStates, States
from vslm.measure.answer_accuracy import AnswerAccuracy
from vslm.measure.attention_distance import AttentionDistance
from vslm.measure.attention_maps import AttentionMaps
from vslm.measure.beyond_context import BeyondContext
from vslm.measure.context_curve import ContextCurve
from vslm.measure.copy_gain import CopyGain
from vslm.measure.declared import Array, Axis, Declared, Number, Shown
from vslm.measure.early_days import EarlyDays
from vslm.measure.effective_rank import EffectiveRank
from vslm.measure.likelier_answers import LikelierAnswers
from vslm.measure.logit_lens import LogitLens
from vslm.measure.loss_along_step import LossAlongStep
from vslm.measure.loss_by_loops import LossByLoops
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.minimal_pairs import MinimalPairs
from vslm.measure.parameter_track import ParameterTrack
from vslm.measure.position_profile import PositionProfile
from vslm.measure.prefix_matching import PrefixMatching
from vslm.measure.prompt_effect import PromptEffect
from vslm.measure.quantized_answers import QuantizedAnswers
from vslm.measure.recall_accuracy import RecallAccuracy
from vslm.measure.residual_norms import ResidualNorms
from vslm.measure.squad_accuracy import SquadAccuracy
from vslm.measure.token_classes import TokenClasses
from vslm.measure.token_probe import TokenProbe
from vslm.measure.token_view import TokenView
from vslm.measure.value_probe import ValueProbe
from vslm.models.adapters.cartridge import Cartridge
from vslm.models.adapters.lora import LoRA
from vslm.models.elements.blocks import Block
from vslm.models.elements.exits import Exit
from vslm.models.elements.resizes import Carry, LearnedPad, Project, UNet, ZeroPad
from vslm.models.elements.short_convolution import ShortConvolution
from vslm.models.elements.states import (
    AddVector,
    InjectMatrix,
    InjectSum,
    Keep,
    LearnedState,
    NoiseState,
    Return,
    ShiftedState,
)
from vslm.models.elements.two_streams import MemoryBlock, TwoStreamBlock
from vslm.models.language_model import Model
from vslm.models.parts.activations import (
    GELUActivation,
    ReLUActivation,
    SiLUActivation,
    SquaredReLUActivation,
    TanhActivation,
    TanhGELUActivation,
)
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import GELU, MLP, GatedMLP, SwiGLU
from vslm.models.parts.gates import SigmoidGate, SignedPower
from vslm.models.parts.learned_roots import LearnedRoot, MixedRoot, ProjectedRoot, ShiftedRoot, WidenedRoot
from vslm.models.parts.normalizers import HeadGain, LengthPower, Power, Sigmoid, Sink, Softmax, SSMax, WeightPower
from vslm.models.parts.norms import LayerNorm, RMSNorm
from vslm.models.parts.positions import NoPositions, Rotary
from vslm.models.parts.readouts import Tied, TiedProjected, Untied
from vslm.models.parts.reads import BothReads, MemoryReads, StreamReads
from vslm.models.parts.residuals import PlainAdd, ScaledAdd
from vslm.models.parts.roots import TokenPositionRoot, TokenRoot
from vslm.models.parts.scales import FanIn, FixedStd
from vslm.models.path.repeats import PerLoop, PoissonLognormalLoops, Repeat, UniformLoops
from vslm.models.path.shares import LowRank, Shares
from vslm.objectives.arm import Arm
from vslm.objectives.context_distillation import ContextDistillation
from vslm.objectives.distillation import Distillation
from vslm.objectives.drawn_loops import DrawnLoops
from vslm.objectives.excess_loss import ExcessLoss
from vslm.objectives.exits import Exits
from vslm.objectives.fact_loading import FactLoading
from vslm.objectives.forget import Forget, Retain
from vslm.objectives.fresh_fact_loading import FreshFactLoading
from vslm.objectives.gap_gated import GapGated
from vslm.objectives.gradient_ascent import GradientAscent
from vslm.objectives.max_entropy import MaxEntropy
from vslm.objectives.next_token import NextToken
from vslm.objectives.npo import NPO
from vslm.optim.adamw import AdamW
from vslm.optim.arctan import Arctan
from vslm.optim.directions import AdamDirection, Average, Gradient
from vslm.optim.l4_adam import L4Adam
from vslm.optim.momo import Momo, MomoAdam
from vslm.optim.muon import Muon
from vslm.optim.optimizer_of import OptimizerOf
from vslm.optim.rate_by_width import RateByWidth
from vslm.optim.schedule_free import ScheduleFreeAdamW
from vslm.optim.schedules import WarmupCosine, WarmupStableDecay
from vslm.optim.sgd import SGD
from vslm.optim.tangent import Tangent
from vslm.optim.targets import FractionOfBest, KnownTarget, RelativeDrop
from vslm.study.changes import Depth, FeedforwardMultiplier, Loops, WidthScale
from vslm.study.experiment import Averaging, Budget, Experiment, FreshStart
from vslm.study.job import Job, Parent, Settings
from vslm.study.learning_rates import CountedRates, LearningRates
from vslm.study.pilot import Pilot
from vslm.study.primary import Primary
from vslm.study.race import Race
from vslm.study.screening import Screen
from vslm.study.study import Study

MODELS = {
    "Model": Model,
    "Block": Block,
    "Shares": Shares,
    "LowRank": LowRank,
    "Repeat": Repeat,
    "PerLoop": PerLoop,
    "UniformLoops": UniformLoops,
    "PoissonLognormalLoops": PoissonLognormalLoops,
    "Keep": Keep,
    "Return": Return,
    "LearnedState": LearnedState,
    "NoiseState": NoiseState,
    "InjectSum": InjectSum,
    "InjectMatrix": InjectMatrix,
    "AddVector": AddVector,
    "ShiftedState": ShiftedState,
    "ShortConvolution": ShortConvolution,
    "Exit": Exit,
    "MemoryBlock": MemoryBlock,
    "TwoStreamBlock": TwoStreamBlock,
    "StreamReads": StreamReads,
    "MemoryReads": MemoryReads,
    "BothReads": BothReads,
    "ZeroPad": ZeroPad,
    "LearnedPad": LearnedPad,
    "Carry": Carry,
    "Project": Project,
    "UNet": UNet,
    "Attention": Attention,
    "Softmax": Softmax,
    "Sigmoid": Sigmoid,
    "Sink": Sink,
    "Power": Power,
    "LengthPower": LengthPower,
    "HeadGain": HeadGain,
    "WeightPower": WeightPower,
    "SSMax": SSMax,
    "SigmoidGate": SigmoidGate,
    "SignedPower": SignedPower,
    "Rotary": Rotary,
    "NoPositions": NoPositions,
    "SwiGLU": SwiGLU,
    "GELU": GELU,
    "MLP": MLP,
    "GatedMLP": GatedMLP,
    "ReLUActivation": ReLUActivation,
    "SquaredReLUActivation": SquaredReLUActivation,
    "SiLUActivation": SiLUActivation,
    "TanhActivation": TanhActivation,
    "GELUActivation": GELUActivation,
    "TanhGELUActivation": TanhGELUActivation,
    "RMSNorm": RMSNorm,
    "LayerNorm": LayerNorm,
    "PlainAdd": PlainAdd,
    "ScaledAdd": ScaledAdd,
    "TokenRoot": TokenRoot,
    "TokenPositionRoot": TokenPositionRoot,
    "ShiftedRoot": ShiftedRoot,
    "MixedRoot": MixedRoot,
    "LearnedRoot": LearnedRoot,
    "WidenedRoot": WidenedRoot,
    "ProjectedRoot": ProjectedRoot,
    "Tied": Tied,
    "TiedProjected": TiedProjected,
    "Untied": Untied,
    "FixedStd": FixedStd,
    "FanIn": FanIn,
}
ADAPTERS = {
    "LoRA": LoRA,
    "Cartridge": Cartridge,
}
DATA = {
    "Text": Text,
    "StandardLibrary": StandardLibrary,
    "AssociativeRecall": AssociativeRecall,
    "Retrieved": Retrieved,
    "Worlds": Worlds,
    "Universe": Universe,
    "SomeFacts": SomeFacts,
    "Mix": Mix,
    "Squad": Squad,
    "Questions": Questions,
    "Hub": Hub,
    "TinyStories": TinyStories,
    "WikiText": WikiText,
    "OpenWebText": OpenWebText,
    "FineWebEdu": FineWebEdu,
    "Splits": Splits,
    "BPE": BPE,
    "Characters": Characters,
    "TokenizerOf": TokenizerOf,
    "Words": Words,
    "WorldWords": WorldWords,
}
RETRIEVERS = {
    "BM25": BM25,
    "States": States,
    "OwnStates": OwnStates,
    "Random": Random,
    "Oracle": Oracle,
    "Hops": Hops,
}
OBJECTIVES = {
    "ExcessLoss": ExcessLoss,
    "NextToken": NextToken,
    "Exits": Exits,
    "DrawnLoops": DrawnLoops,
    "FactLoading": FactLoading,
    "FreshFactLoading": FreshFactLoading,
    "Distillation": Distillation,
    "ContextDistillation": ContextDistillation,
    "Forget": Forget,
    "GapGated": GapGated,
}
FORGETTERS = {
    "MaxEntropy": MaxEntropy,
    "NPO": NPO,
    "GradientAscent": GradientAscent,
}
OPTIM = {
    "AdamW": AdamW,
    "Muon": Muon,
    "Tangent": Tangent,
    "L4Adam": L4Adam,
    "MomoAdam": MomoAdam,
    "Momo": Momo,
    "Arctan": Arctan,
    "SGD": SGD,
    "ScheduleFreeAdamW": ScheduleFreeAdamW,
    "OptimizerOf": OptimizerOf,
    "KnownTarget": KnownTarget,
    "FractionOfBest": FractionOfBest,
    "RelativeDrop": RelativeDrop,
    "Gradient": Gradient,
    "Average": Average,
    "AdamDirection": AdamDirection,
    "RateByWidth": RateByWidth,
    "WarmupCosine": WarmupCosine,
    "WarmupStableDecay": WarmupStableDecay,
}
MEASURES = {
    "LossByPosition": LossByPosition,
    "LossByLoops": LossByLoops,
    "LogitLens": LogitLens,
    "LossAlongStep": LossAlongStep,
    "AttentionDistance": AttentionDistance,
    "ContextCurve": ContextCurve,
    "EarlyDays": EarlyDays,
    "ParameterTrack": ParameterTrack,
    "PositionProfile": PositionProfile,
    "PromptEffect": PromptEffect,
    "RecallAccuracy": RecallAccuracy,
    "AnswerAccuracy": AnswerAccuracy,
    "QuantizedAnswers": QuantizedAnswers,
    "ValueProbe": ValueProbe,
    "LikelierAnswers": LikelierAnswers,
    "LoadedAnswers": LoadedAnswers,
    "MinimalPairs": MinimalPairs,
    "SquadAccuracy": SquadAccuracy,
    "ResidualNorms": ResidualNorms,
    "CopyGain": CopyGain,
    "PrefixMatching": PrefixMatching,
    "TokenClasses": TokenClasses,
    "EffectiveRank": EffectiveRank,
    "TokenProbe": TokenProbe,
    "AttentionMaps": AttentionMaps,
    "BeyondContext": BeyondContext,
    "TokenView": TokenView,
}
LAB = {
    "Experiment": Experiment,
    "Budget": Budget,
    "FreshStart": FreshStart,
    "Averaging": Averaging,
    "Arm": Arm,
    "Job": Job,
    "Parent": Parent,
    "Settings": Settings,
    "Study": Study,
    "Primary": Primary,
    "Pilot": Pilot,
    "Screen": Screen,
    "Race": Race,
    "LearningRates": LearningRates,
    "CountedRates": CountedRates,
}
CHANGES = {
    "Depth": Depth,
    "WidthScale": WidthScale,
    "FeedforwardMultiplier": FeedforwardMultiplier,
    "Loops": Loops,
}
DECLARATIONS = {  # what measures say of their arrays, in the records of runs
    "Array": Array,
    "Axis": Axis,
    "Declared": Declared,
    "Number": Number,
    "Shown": Shown,
}
KINDS: dict[str, type] = {
    **MODELS,
    **ADAPTERS,
    **DATA,
    **RETRIEVERS,
    **OBJECTIVES,
    **FORGETTERS,
    "Retain": Retain,
    **OPTIM,
    **MEASURES,
    **DECLARATIONS,
    **LAB,
    **CHANGES,
}
