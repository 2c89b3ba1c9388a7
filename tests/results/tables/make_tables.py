"""Make the tables of mlflow.search_runs, lightning's CSVLogger and pandas in this folder.

    pip install mlflow-skinny pytorch-lightning pandas pyarrow sqlalchemy alembic Flask
    python tests/results/tables/make_tables.py

Typed by hand, as documented, are the tables of
* wandb (https://docs.wandb.ai/models/runs/customize-run-display),
* MLflow's page (https://mlflow.org/docs/latest/ml/search/search-runs),
* lm-eval: `typed_lm_eval.jsonl`, a row for each task of `results_*.json` (lm-evaluation-harness, README.md),
* HELM: `typed_helm_stats.jsonl`, a row for each entry of `stats.json` (https://crfm-helm.readthedocs.io).
"""

import random
import tempfile
from pathlib import Path

import mlflow
import pandas

HERE = Path(__file__).parent
LEADS = {"random": 0.0, "orthogonal": 0.02, "mimetic": 0.001}


def draw_scores() -> dict[tuple[str, int], float]:
    """Return an accuracy for each arm and seed. The arms of a seed share noise."""
    rng = random.Random(0)
    scores = {}
    for seed in range(6):
        shared = rng.gauss(0.7, 0.01)
        for arm, lead in LEADS.items():
            scores[arm, seed] = round(shared + lead + rng.gauss(0, 0.002), 4)
    return scores


def log_runs(scores: dict[tuple[str, int], float]) -> None:
    """Log a run for each score. One run fails before its score."""
    experiment = mlflow.create_experiment("initializations", artifact_location="file:///artifacts")
    for (arm, seed), score in scores.items():
        with mlflow.start_run(experiment_id=experiment, run_name=f"{arm}-{seed}"):
            mlflow.log_params({"init": arm, "seed": seed, "lr": 0.001})
            if (arm, seed) != ("mimetic", 2):
                mlflow.log_metrics({"accuracy": score, "val_loss": 1 - score})
    failed = mlflow.search_runs([experiment], "params.init = 'mimetic' and params.seed = '2'")["run_id"][0]
    mlflow.MlflowClient().set_terminated(failed, "FAILED")


def log_lightning(scores: dict[tuple[str, int], float]) -> None:
    """Write the logs of lightning's CSVLogger, with a column for arm and seed, as a table."""
    from pytorch_lightning.loggers import CSVLogger

    frames = []
    with tempfile.TemporaryDirectory() as folder:
        for (arm, seed), score in scores.items():
            logger = CSVLogger(folder, name=arm, version=f"seed{seed}")
            for epoch in range(2):
                for step in (49 + 100 * epoch, 99 + 100 * epoch):
                    logger.log_metrics(
                        {"train_loss": round(2.0 - score - step / 500, 4), "epoch": epoch}, step
                    )
                found = round(score - 0.1 * (1 - epoch), 4)
                logger.log_metrics({"val_loss": round(1 - found, 4), "val_acc": found, "epoch": epoch}, step)
            logger.log_metrics({"train_loss": 1.0, "epoch": 1}, 249)
            logger.save()
            frames.append(pandas.read_csv(f"{logger.log_dir}/metrics.csv").assign(arm=arm, seed=seed))
    pandas.concat(frames).to_csv(HERE / "lightning_metrics.csv", index=False)


def main() -> None:
    scores = draw_scores()
    log_lightning(scores)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/runs.db")
        log_runs(scores)
        found = mlflow.search_runs(search_all_experiments=True)
    found = found.drop(columns=[name for name in found if name.startswith("tags.mlflow.source.git")])
    found["tags.mlflow.user"] = "someone"
    found.to_csv(HERE / "mlflow_search_runs.csv", index=False)
    rows = [{"arm": arm, "seed": seed, "accuracy": score} for (arm, seed), score in scores.items()]
    wide = pandas.DataFrame(rows).pivot(index="seed", columns="arm", values="accuracy")
    wide.to_csv(HERE / "pandas_wide.csv")
    frame = pandas.DataFrame(rows).rename(columns={"accuracy": "value"}).assign(measure="accuracy")
    frame.to_parquet(HERE / "pandas_long.parquet", index=False)


if __name__ == "__main__":
    main()
