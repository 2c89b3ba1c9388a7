"""Replacements for the programs of Slurm."""

import os

# each logs its arguments; sbatch returns the job numbers 11, 12, ... and refuses from the number in REFUSES on
PROGRAMS = {
    "sbatch": """
n=$(( $(ls "$FAKE" | grep -c '^job') + 11 ))
[ "$n" -ge "${REFUSES:-99}" ] && { echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }
printf '%s\\n' "$@" > "$FAKE/job$n.options"; cat > "$FAKE/script$n"; echo "$n;cluster"
""",
    "squeue": """
for word in "$@"; do
  case "$word" in --jobs=*) jobs=${word#--jobs=}; grep -sE "^(${jobs//,/|})_" "$FAKE/queue" || true ;; esac
done
""",
    "scontrol": """
case "$1 $2" in
  "show config") printf 'MaxArraySize            = %s\\nSchedulerParameters     = bf\\n' "${MAX:-1001}" ;;
  "show partition") printf 'PartitionName=short Nodes=1\\nPartitionName=long Nodes=9\\n' ;;
  "show job") echo "JobId=$3 JobState=${STATE:-RUNNING} Reason=None" ;;
  "show hostnames") printf 'n1\\nn2\\n' ;;
  *) echo "$@" >> "$FAKE/asked" ;;
esac
""",
    "srun": 'echo "srun $PET_NNODES $PET_RDZV_ENDPOINT $LOADED $@"; exit "${ENDS:-0}"',
}


def fake_slurm(tmp_path, monkeypatch):
    """Return the folder in which the programs log their arguments."""
    programs, notes = tmp_path / "programs", tmp_path / "fake"
    programs.mkdir()
    notes.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(notes))
    return notes


def runs_of(fake, job):
    """Return the runs of the tasks of an array."""
    lines = (fake / f"script{job}").read_text().partition("runs=(\n")[2].partition("\n)")[0]
    return [line.strip(' "') for line in lines.splitlines()]
