#!/bin/bash
#PBS -S /bin/bash
#PBS -N ms-0123456789ab
#PBS -l walltime=01:00:00
#PBS -l select=1:ncpus=1:mpiprocs=1:ompthreads=1
#PBS -j oe
#PBS -o scheduler.out
#PBS -r n

export MATSCOUT_JOB_STARTED=$(date +%s)
child=
pass_on() { if [ -n "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else exit 75; fi; }
trap 'pass_on USR1' USR1 USR2
trap 'pass_on TERM' TERM
cd -- /scratch/runs/1 || { echo "matscout: $(hostname) does not see" /scratch/runs/1 >&2; exit 72; }
/opt/matscout/bin/python -P -m matscout.workflows.launch.node /scratch/runs/1 &
child=$!
while wait "$child"; code=$?; [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do :; done
child=
exit "$code"
