"""Frozen data types that components exchange, with numpy arrays instead of tensors."""

from perceptinit.types.data import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    WHITE as WHITE,
    Classes as Classes,
    Color as Color,
    DataCard as DataCard,
    DataNeed as DataNeed,
    Fit as Fit,
    FitMode as FitMode,
    ImageSource as ImageSource,
    MeasuredSplit as MeasuredSplit,
    Pair as Pair,
    Split as Split,
    Stimuli as Stimuli,
    Triplets as Triplets,
    Unit as Unit,
    raise_first as raise_first,
)
from perceptinit.types.runs import (
    Event as Event,
    InitReport as InitReport,
    Items as Items,
    RunContext as RunContext,
    Score as Score,
    StagePlan as StagePlan,
    State as State,
    StepResult as StepResult,
    describe_stage as describe_stage,
)
