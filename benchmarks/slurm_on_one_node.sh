#!/bin/bash
# A real Slurm on this machine, with three virtual nodes, and an experiment of 12 runs through it: three are killed, one is
# pre-empted, one is warned as before the end of its time; the same command once more, and the table has to be that of a run alone.
# Before them: a recipe that is edited while its runs are queued, a second submission under another job name, an evaluation longer
# than the time limit (on a fourth node, while the others run), and the commands of `--submit commands` in a shell.
#
#     apt-get install slurm-wlm munge
#     benchmarks/slurm_on_one_node.sh            as root, on a machine without a Slurm of its own; about 12 minutes on 2 cores
#
# Everything is made in a temporary folder (KEEP=1 keeps it), and all daemons end with the script; while it runs, the names of the
# nodes stand in /etc/hosts.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
python=${PYTHON:-python}
export PYTHONPATH=$here OMP_NUM_THREADS=1 SLURM_CONF=$work/slurm.conf
cd "$work"

cp /etc/hosts hosts
finish() {
  cat hosts > /etc/hosts
  squeue -h -o %A 2> /dev/null | sort -u | xargs -r scancel 2> /dev/null || true
  for _ in $(seq 40); do [ -z "$(squeue -h 2> /dev/null)" ] && break || sleep 1; done
  kill $(jobs -p) 2> /dev/null || true
  wait 2> /dev/null || true
  [ -n "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
}
trap finish EXIT
say() { echo "[$(date +%T)] $*"; }
# each check prints its name and what it saw; a check that fails ends the script
check() {  # name, expected, found
  [ "$2" = "$3" ] || { say "FAILED: $1: expected $2, found ${3:-nothing}"; exit 1; }
  say "passed: $1: $3"
}
check_line() {  # name, pattern, files
  local name=$1 pattern=$2
  shift 2
  grep -h -- "$pattern" "$@" > line || { say "FAILED: $name: no line has \"$pattern\" in $*:"; cat "$@"; exit 1; }
  say "passed: $name: $(tail -n 1 line)"
}
check_same() {  # name, two files
  diff "$2" "$3" || { say "FAILED: $1: $2 and $3 differ as above"; exit 1; }
  say "passed: $1: $(wc -l < "$2") equal lines"
}

# --- Slurm -----------------------------------------------------------------------------------------------------------------
echo "127.0.0.1 n1 n2 n3 n4" >> /etc/hosts
mkdir -p munge state spool
dd if=/dev/urandom of=munge/key bs=1 count=1024 2> /dev/null
chmod 700 munge && chmod 600 munge/key
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
  --log-file="$work/munge/log" --seed-file="$work/munge/seed" &> munge/out &
cat > slurm.conf << CONF
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
ReturnToService=2
MaxArraySize=8
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=16821 CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=16822 CPUs=1 RealMemory=1000
NodeName=n3 NodeHostname=localhost NodeAddr=127.0.0.1 Port=16823 CPUs=1 RealMemory=1000
NodeName=n4 NodeHostname=localhost NodeAddr=127.0.0.1 Port=16824 CPUs=1 RealMemory=1000
PartitionName=slow Nodes=n4 MaxTime=INFINITE State=UP
PartitionName=low Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=n1,n2,n3 MaxTime=INFINITE State=UP PriorityTier=10
CONF
until [ -S munge/socket ]; do sleep 0.2; done
slurmctld -D &> slurmctld.out &
for node in n1 n2 n3 n4; do
  slurmd -D -N $node &> slurmd.$node.out &
done
for _ in $(seq 60); do
  [ "$(sinfo -h -N -t idle -o %N 2> /dev/null | sort -u | wc -l)" = 4 ] && break
  sleep 0.5
done
sinfo

# --- the experiment --------------------------------------------------------------------------------------------------------
cat - "$here/benchmarks/tiny_backbone.toml" > six.toml << 'TOML'
schema = 1
name = "six"
summary = "2 arms x 6 seeds, tiny"
seeds = [0, 1, 2, 3, 4, 5]
TOML
cat >> six.toml << 'TOML'
[[init]]
use = "triplet-hinge"
epochs = 2
batch_size = 32
[init.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[pretrain]
use = "clip"
epochs = 24
batch_size = 16
warmup_steps = 1
[pretrain.pairs]
use = "synthetic"
num_pairs = 256
image_size = 16
[[eval]]
use = "two-afc"
every = "end"
[eval.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[checkpoint]
every_steps = 50
[jobs]
partition = "low"
time = "30"
gpus = 0
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
TOML
perceptinit() { "$python" -m perceptinit "$@"; }
task_of() {  # arm seed -> array task
  "$python" -c 'import sys; from pathlib import Path; from perceptinit.results.states import find_submitted
print(find_submitted(Path(sys.argv[1]))[sys.argv[2], int(sys.argv[3])])' $runs "$1" "$2"
}
is_training() { grep -qs '"kind": *"step"' "$runs/$1/events.jsonl" && [ -e "$runs/$1/.run.json" ]; }
upset() {  # what happens to a run once it trains
  local run=$1 arm seed task
  arm=${run%/*} seed=${run#*/seed}
  until is_training "$run"; do sleep 0.3; done
  case $2 in
    kill) kill -9 "$(grep -o '"pid": *[0-9]*' "$runs/$run/.run.json" | grep -o '[0-9]*')" ;;
    preempt)
      task=$(task_of "$arm" "$seed")
      sbatch -Q -p high -w "$(squeue -h -j "$task" -o %N)" -J urgent -o /dev/null --wrap "sleep 5" ;;
    cancel) scancel "$(squeue -h -j "$(task_of "$arm" "$seed")" -o %A)" ;;
    # as Slurm does before the time is over; scancel asks again and again about an array's task, so it is stopped
    warn) timeout 2 scancel --signal=USR1 "$(squeue -h -j "$(task_of "$arm" "$seed")" -o %A)" || true ;;
  esac
  say "$2: $run"
}
wait_for_queue() { while [ -n "$(squeue -h -p low,high)" ]; do sleep 1; done; }
mkdir bin
printf '#!/bin/sh\nexec "%s" -m perceptinit "$@"\n' "$python" > bin/perceptinit
chmod 755 bin/perceptinit

# --- an evaluation longer than the time limit ------------------------------------------------------------------------------
say "an evaluation of 10 minutes with a limit of 5, on a node of its own"
cat > sleeping.py << 'PY'
"""An evaluator that sleeps."""
import time
from dataclasses import dataclass

from perceptinit import Component, hookimpl


class Sleep:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """No settings."""

    def __init__(self, config):
        pass

    def evaluate(self, model, ctx):
        time.sleep(600)
        return []


@hookimpl
def perceptinit_evaluators():
    return [Component(name="local/sleep", target=Sleep, summary="sleeps")]
PY
sed -e 's/^name = "six"/name = "slow"\nplugins = ["sleeping.py"]/; s/^partition = .*/partition = "slow"/; s/^time = .*/time = "5"/' \
  -e 's/^seeds = .*/seeds = [0]/; s/^\[checkpoint\]/[[eval]]\nuse = "local\/sleep"\nevery = "end"\n&/' six.toml > slow.toml
perceptinit run slow.toml --out slow --device cpu --submit slurm --arm pi

# --- a recipe that is edited while its runs are queued, and submitted twice --------------------------------------------------
say "2 runs in the queue under another name; the same command, and an edit"
sed 's/^name = "six"/name = "edited"/; s/^seeds = .*/seeds = [0, 1]/' six.toml > edited.toml
held=(--out edited --device cpu --arm pi --set 'jobs.options=["--hold", "--job-name=x"]' --submit slurm)
perceptinit run edited.toml "${held[@]}"
perceptinit run edited.toml "${held[@]}" | tee again.out
check_line "queued runs are not submitted twice" "^Nothing to submit: 0 finished, 2 already in the queue" again.out
cp edited.toml before.toml
sed -i 's/^warmup_steps = 1/warmup_steps = 3/' edited.toml
code=0
perceptinit run edited.toml "${held[@]}" || code=$?
check "an edited recipe is refused while its runs are queued" 2 $code
squeue -h -n x -o %A | sort -u | xargs -n 1 scontrol release
wait_for_queue
cp before.toml edited.toml

say "the same runs as commands in a shell"
perceptinit run edited.toml --out piped --device cpu --arm pi --submit commands > commands.txt
cat commands.txt
PATH=$work/bin:$PATH sh < commands.txt > piped.out 2> piped.err
COLUMNS=160 perceptinit compare piped/edited > piped.txt
check_same "commands give the table of the job" piped.txt edited/edited/table.txt

# --- tuning: trials, then final runs ----------------------------------------------------------------------------------------
say "4 trials, then the final runs; after them the same tuning in one process"
{ sed -e 's/^name = "six"/name = "tuned"/; s/^seeds = .*/seeds = [0, 1]/; s/^epochs = 24/epochs = 4/' six.toml; cat << 'TOML'; } > tuned.toml
[tune]
measure = "2afc"
trials = 2
studies = 1
[tune.eval]
use = "two-afc"
split = "val"
[tune.eval.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[tune.space]
pretrain.lr = { low = 1e-4, high = 1e-2, scale = "log" }
TOML
for expected in "Submitted 4 runs" "Submitted 4 runs" "All runs are finished"; do
  perceptinit tune tuned.toml --out tuned --device cpu --submit slurm 2>&1 | tee tuned.out
  check_line "tuning" "$expected" tuned.out
  wait_for_queue
done
perceptinit tune tuned.toml --out tuned-alone --device cpu > /dev/null
PATH=$work/bin:$PATH srun --partition=low perceptinit eval tuned/tuned --format csv > evaluated.csv
check "srun evaluates the 4 runs" 4 "$(grep -c ",2afc,synthetic," evaluated.csv)"

# --- a run on two nodes ----------------------------------------------------------------------------------------------------
say "a run on two nodes, warned once"
perceptinit run six.toml --out two --device cpu --submit slurm --set jobs.nodes=2 --arm pi --seed 0
runs=two/six
upset pi/seed0 warn
wait_for_queue
check_line "a warned run says how to resume" "rerun the command to resume" two/six/.slurm/*.log
perceptinit status two/six
"$python" -c 'import json; r = json.load(open("two/six/pi/seed0/record.json")); print(r["status"], [w["message"] for w in r["warnings"]])'

say "a run that is cancelled stays so"
perceptinit run six.toml --out two --device cpu --submit slurm --arm pi --seed 1
upset pi/seed1 cancel
wait_for_queue
check_line "a canceled run stays interrupted" '"status": "interrupted"' two/six/pi/seed1/record.json
perceptinit status two/six

# --- 12 runs ----------------------------------------------------------------------------------------------------------------
say "12 runs alone, in one process"
perceptinit run six.toml --out alone --device cpu > alone.out 2> alone.err
runs=shared/six
say "12 runs through Slurm; MaxArraySize = 8"
time perceptinit run six.toml --out shared --device cpu --submit slurm
upsets=()
for each in "pi/seed0 kill" "random/seed2 kill" "pi/seed4 kill" "random/seed0 preempt" "pi/seed1 warn"; do
  upset $each &
  upsets+=($!)
done
until is_training random/seed0; do sleep 0.3; done
perceptinit status $runs
wait "${upsets[@]}"
wait_for_queue
say "all have ended"
check_line "stopped runs say why" "DUE TO\|rerun the command to resume" $runs/.slurm/*.log
perceptinit status $runs
cat $runs/table.txt
say "the same command once more"
perceptinit run six.toml --out shared --device cpu --submit slurm
wait_for_queue
say "all have ended"
"$python" - << 'PY'
import json
from pathlib import Path

def told(path):
    record = json.loads(path.read_text())
    return record["status"], record["hashes"]["final"], record["scores"]

alone = {path.relative_to("alone"): told(path) for path in Path("alone").rglob("record.json")}
edited = {path.relative_to("edited/edited"): told(path) for path in Path("edited").rglob("record.json")}
piped = {path.relative_to("piped/edited"): told(path) for path in Path("piped").rglob("record.json")}
of_six = {path: told(Path("alone/six") / path) for path in edited}
assert len(edited) == 2 and edited == piped == of_six, "the edit changed runs, or commands did"
print("2 of 2 runs that were edited while queued, and 2 of 2 commands, have the weights of the recipe as submitted")
tuned, alone_tuned = (
    {path.relative_to(folder): told(path) for path in Path(folder).rglob("record.json")} for folder in ("tuned", "tuned-alone")
)
assert len(tuned) == 12 and tuned == alone_tuned, "the tuning differs"
print("4 trials and 8 final runs have the weights and scores of a tuning in one process")
shared = {path.relative_to("shared"): told(path) for path in Path("shared").rglob("record.json")}
assert len(alone) == 12 and alone == shared, "the runs differ"
print("12 of 12 runs have the weights and scores of those that ran alone")
PY
COLUMNS=160 perceptinit compare alone/six > alone.txt
check_same "the table is that of the runs alone" alone.txt $runs/table.txt

say "the evaluation longer than the limit"
while [ -n "$(squeue -h)" ]; do sleep 1; done
check_line "a job without progress fails" "two requeues without a new step" slow/slow/.slurm/*.log
cat slow/slow/.slurm/*.stops  # the newest checkpoint at each stop; the first stop can be before the last step
check "its last three stops have the same checkpoint" 1 "$(tail -q -n 3 slow/slow/.slurm/*.stops | sort -u | wc -l)"
