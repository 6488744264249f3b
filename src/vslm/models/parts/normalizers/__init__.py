"""Scores -> weights: what attention does with a row of scores. One file per idea.

A normalizer plays one of three roles:

    RowNormalizer   sees whole rows of scores and owns its masking ("masked" is minus infinity for softmax and zero for
                    sigmoid). Served by the kernels that hold whole rows: the oracle and the chunked one.
    ScoreFactor     softmax of scores times a factor that is known before any score is: per head, and by how many keys a
                    query sees. Every kernel serves it, by a factor on the query.
    SumGate         softmax's output times a factor that depends only on the logarithm of the sum of a row's
                    exponentials and on how many keys were visible. Any kernel that can return the log-sum-exp serves
                    it, and the row kernels do too.

                   output, with o = softmax(s) v and n = visible keys   role            parameters per head
    Sigmoid        sigmoid(s + b - log n) v                             RowNormalizer   none
    Softmax        softmax(s / temperature) v                           ScoreFactor     none
    WeightPower    softmax(a s) v                                       ScoreFactor     a, if learned
    SSMax          softmax(a log(n) s) v                                ScoreFactor     a, if learned
    Power          o exp((1 - p) LSE), or of LSE - log n                SumGate         p, if learned
    LengthPower    o n^(1 - p)                                          SumGate         p, if learned
    HeadGain       o g                                                  SumGate         g
    Sink           o sigmoid(LSE - b)                                   SumGate         b, if learned

`vslm.models.parts.kernels` says which kernel serves which class. Adding one: docs/adding-a-normalizer.md.
"""

from vslm.models.parts.normalizers.head_gain import HeadGain
from vslm.models.parts.normalizers.length_power import LengthPower
from vslm.models.parts.normalizers.normalizer import (
    Normalizer,
    RowNormalizer,
    ScoreFactor,
    ScoreFactorModule,
    SumGate,
    SumGateModule,
)
from vslm.models.parts.normalizers.power import Power
from vslm.models.parts.normalizers.sigmoid import Sigmoid
from vslm.models.parts.normalizers.sink import Sink
from vslm.models.parts.normalizers.softmax import Softmax
from vslm.models.parts.normalizers.ssmax import SSMax
from vslm.models.parts.normalizers.weight_power import WeightPower

__all__ = [
    "HeadGain",
    "LengthPower",
    "Normalizer",
    "Power",
    "RowNormalizer",
    "SSMax",
    "ScoreFactor",
    "ScoreFactorModule",
    "Sigmoid",
    "Sink",
    "Softmax",
    "SumGate",
    "SumGateModule",
    "WeightPower",
]
