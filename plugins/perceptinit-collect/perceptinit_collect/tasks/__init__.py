"""The tasks by name, each defined in its own module."""

from perceptinit_collect.tasks.odd_one_out import OddOneOut
from perceptinit_collect.tasks.task import Question, Task
from perceptinit_collect.tasks.two_afc import TwoAfc

TASKS: dict[str, Task] = {task.name: task for task in (TwoAfc(), OddOneOut())}

__all__ = ["Question", "TASKS", "Task"]
