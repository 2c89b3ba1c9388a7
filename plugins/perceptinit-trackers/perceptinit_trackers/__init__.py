"""Trackers for perceptinit: TensorBoard, Weights & Biases, MLflow and CodeCarbon."""

from perceptinit.plugin import Component, hookimpl

# module, which is also the extra -> class and summary
_TRACKERS = {
    "codecarbon": ("CodeCarbon", "energy and carbon dioxide of each run, estimated offline by CodeCarbon"),
    "mlflow": ("MLflow", "MLflow runs, one per arm and seed, on a server or in local files"),
    "tensorboard": ("TensorBoard", "TensorBoard event files in the run's folder"),
    "wandb": ("Wandb", "Weights & Biases runs, one per arm and seed, grouped by arm"),
}


@hookimpl
def perceptinit_trackers() -> list[Component]:
    return [
        Component(
            name=f"log/{module}",
            target=f"perceptinit_trackers.{module}:{name}",
            summary=summary,
            extra=f"perceptinit-trackers[{module}]",
        )
        for module, (name, summary) in _TRACKERS.items()
    ]
