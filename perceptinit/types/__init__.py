"""The data that passes between components: frozen, numpy only (tensors stay inside components)."""

from perceptinit.types.data import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from perceptinit.types.data import WHITE as WHITE
from perceptinit.types.data import Classes as Classes
from perceptinit.types.data import Colour as Colour
from perceptinit.types.data import DataCard as DataCard
from perceptinit.types.data import DataNeed as DataNeed
from perceptinit.types.data import ImageSource as ImageSource
from perceptinit.types.data import MeasuredSplit as MeasuredSplit
from perceptinit.types.data import Pair as Pair
from perceptinit.types.data import Split as Split
from perceptinit.types.data import Stimuli as Stimuli
from perceptinit.types.data import Triplets as Triplets
from perceptinit.types.data import Unit as Unit
from perceptinit.types.runs import Event as Event
from perceptinit.types.runs import InitReport as InitReport
from perceptinit.types.runs import RunContext as RunContext
from perceptinit.types.runs import Score as Score
from perceptinit.types.runs import StagePlan as StagePlan
from perceptinit.types.runs import State as State
from perceptinit.types.runs import StepResult as StepResult
