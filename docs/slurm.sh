#!/bin/bash
# Restore one large OME-Zarr on several nodes: sbatch docs/slurm.sh IN.ome.zarr OUT.ome.zarr
# The same command again, after the time limit or a failed node, goes on where this one ended.
#SBATCH --job-name=genrecon
#SBATCH --ntasks=4
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
##SBATCH --gpus-per-task=1  # take one of the two hashes away where the nodes have graphics cards
#SBATCH --time=08:00:00
set -euo pipefail

input=$1
output=$2
task=${GENRECON_TASK:-denoise}
file=$PWD/genrecon-scheduler-$SLURM_JOB_ID.json

# Each worker is one process that computes one region at a time, with all the cores of its task.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__OMP_NUM_THREADS=$OMP_NUM_THREADS

dask scheduler --no-dashboard --port 0 --scheduler-file "$file" &
scheduler=$!
srun dask worker --no-dashboard --nworkers 1 --nthreads 1 --scheduler-file "$file" &
workers=$!
trap 'kill $workers $scheduler 2>/dev/null || true; rm -f "$file"' EXIT

genrecon "$task" "$input" -o "$output" --scheduler "$file" --resume
