#!/bin/bash
# One run of a recipe on several nodes: sbatch recipes/slurm_nodes.sh
# (one node, or many runs side by side: perceptinit run RECIPE --nproc N, perceptinit run RECIPE --job-array)
#SBATCH --job-name=perceptinit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180      # to this script, 180 s before the time limit

recipe=${RECIPE:-recipes/pi_clip_yfcc.toml}
out=${OUT:-runs}                 # on a file system that all nodes see
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# srun hands SIGTERM on to torchrun, which hands it on to the processes: they save after the step
# they are at and end; the job then goes back into the queue and continues from there
trap 'stopped=1; kill -TERM "$srun"' USR1 TERM

srun torchrun \
  --nnodes "$SLURM_NNODES" --nproc-per-node 8 \
  --rdzv-backend c10d --rdzv-endpoint "$head:29500" --rdzv-id "$SLURM_JOB_ID" \
  -m perceptinit run "$recipe" --arm "${ARM:-pi}" --seed "${SEED:-0}" --out "$out" &
srun=$!
wait "$srun"
code=$?
if [ -n "$stopped" ]; then
  wait "$srun"                   # the first wait ended with the signal
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
