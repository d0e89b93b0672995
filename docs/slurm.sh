#!/bin/bash
#SBATCH --job-name=repose
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append

# One process for each node, which uses all of its GPUs.  The workdir is on a file system that all
# nodes share.  Two minutes before its time is over the run saves and ends with 130; the job is
# queued again and goes on.
#
#     sbatch docs/slurm.sh --config repose_h36m --workdir /shared/runs/repose \
#         --config.data.path=/shared/human36m

set -uo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export JAX_COORDINATOR_ADDRESS="$head:$((20000 + SLURM_JOB_ID % 20000))"
export JAX_NUM_PROCESSES="$SLURM_NTASKS"
# Found by all processes, and kept from one start to the next.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/jrepose/xla}"

# Without --kill-on-bad-exit: the processes end each other, with a line that says why.
srun --kill-on-bad-exit=0 bash -c 'JAX_PROCESS_ID=$SLURM_PROCID exec jrepose train "$@"' train "$@"
status=$?

if [ "$status" -eq 130 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
