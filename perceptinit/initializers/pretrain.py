"""Another pretraining as stage 1, of which only the image tower is kept (`pretrain`, `distil`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perceptinit.backbones.image_models import ImageModel
from perceptinit.components.building import find_component_warnings, preflight
from perceptinit.compute.devices import fetch
from perceptinit.errors import InitializerError
from perceptinit.initializers.weights import only_training, reporting, trainable_names, weight_changes
from perceptinit.pretrainers.distil import DistilPretraining
from perceptinit.protocols import HasModel, HasPlan, Pairs, Pretrainer
from perceptinit.types import InitReport, RunContext, StagePlan

REPORT_EVERY_STEPS = 10
IMAGE = "image."  # prefix of the tower's weights in the model of a pretrainer


@dataclass(eq=False)
class Pretrain:
    """Train the image tower with another pretrainer on other pairs, and keep only the tower.

    The nested table `[init.pretrain]` has the keys of `[pretrain]`, for example supervised on
    formula-generated images, SimCLR on the training images, or CLIP on other captions. Other parts of the
    model, such as a text tower or a classifier, are initialized with the seed of the run and discarded after
    the stage. Batch norm learns the statistics of the pairs, as in `[pretrain]`. Random streams are separate
    for each stage, so the later pretraining has the same batches in all arms.
    """

    name = "pretrain"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The keys are those of the nested table `pretrain`."""

    config: Config
    pretrain: Pretrainer

    def preflight(self) -> Iterator[str]:
        """Yield the problems of the pretrainer."""
        yield from preflight(self.pretrain)

    def warnings(self) -> Iterator[str]:
        """Yield the warnings of the pretrainer."""
        yield from find_component_warnings(self.pretrain)

    def plan(self) -> StagePlan:
        """Return the plan of the pretrainer, or an empty plan if it has none."""
        return self.pretrain.plan() if isinstance(self.pretrain, HasPlan) else StagePlan()

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Train the image tower in place.

        Args:
            model: The image tower; its modes and `requires_grad` are restored.
            ctx: `ctx.new_model` builds the model for pretrainers that also train a text tower.

        Returns:
            The report, with the last metrics of the pretrainer, its steps, and `discarded_parameters`, the
            number of parameters outside the image tower.

        Raises:
            InitializerError: If the pretrainer needs a text tower and no backbone provides one.
            TrainingError: If the loss is not finite.
        """
        whole = self._model(model, ctx).to(ctx.device)
        num_discarded = sum(p.numel() for n, p in whole.named_parameters() if not n.startswith(IMAGE))
        total = self.plan().steps
        with reporting(self.name, model) as report, only_training(model, trainable_names(model, "all")):
            if ctx.resumed:
                report.resume(ctx.resumed["report"])
                whole.load_state_dict({**whole.state_dict(), **ctx.resumed["rest"]})
                self.pretrain.load_state_dict(ctx.resumed["pretrain"])

            def state() -> dict[str, Any]:
                # first, because the pretrainer may have to gather the weights
                pretrain = self.pretrain.state_dict()
                rest = {name: w for name, w in whole.state_dict().items() if not name.startswith(IMAGE)}
                return {"report": report.state(), "pretrain": pretrain, "rest": rest}

            metrics: Mapping[str, Any] = {}
            for result in self.pretrain.steps(whole, ctx):
                metrics = {**result.metrics, "steps": result.step, "samples": result.samples_seen}
                if total and result.step % REPORT_EVERY_STEPS == 0:
                    ctx.progress(result.step, total, **fetch(result.metrics))
                ctx.offer(result.step, state)
            report.metrics = {
                **fetch(metrics),
                "discarded_parameters": num_discarded,
                **weight_changes(report.before, model.state_dict()),
            }
        return report.result

    def _model(self, tower: Any, ctx: RunContext) -> Any:
        """Return the model that the pretrainer trains, with `tower` as its image tower."""
        seed = ctx.seed_for("model")
        parts = self.pretrain.parts if isinstance(self.pretrain, HasModel) else ("image", "text")
        base: Any = ImageModel(tower)
        if "text" in parts:
            if ctx.new_model is None:
                raise InitializerError(
                    f"initializer '{self.name}': this pretrainer needs a text tower. Use a pretrainer for "
                    "images, or a recipe with a [backbone]"
                )
            base = ctx.new_model(seed)
            base.image = tower
        return self.pretrain.model(base, seed) if isinstance(self.pretrain, HasModel) else base


class Distil(Pretrain):
    """Train the image tower on the embeddings of a teacher before pretraining.

    Equivalent to `pretrain` with pretrainer `distil`, with the same keys. Control: `teacher = "random"`. No
    published effect at small scale is known.
    """

    name = "distil"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(DistilPretraining.Config):
        """The keys of pretrainer `distil`."""

    def __init__(self, config: Config, pairs: Pairs) -> None:
        super().__init__(Pretrain.Config(), DistilPretraining(config, pairs))
        self.config: Any = config
