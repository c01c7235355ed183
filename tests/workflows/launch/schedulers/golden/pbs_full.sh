#!/bin/bash
#PBS -S /bin/bash
#PBS -N ms-0123456789ab
#PBS -q batch
#PBS -A mat-2026
#PBS -l walltime=36:00:00
#PBS -l select=2:ncpus=16:mpiprocs=4:ompthreads=4:mem=65536mb:ngpus=2
#PBS -j oe
#PBS -o scheduler.out
#PBS -r n
#PBS -m n

export MATSCOUT_JOB_STARTED=$(date +%s)
child=
pass_on() { if [ -n "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else exit 75; fi; }
trap 'pass_on USR1' USR1 USR2
trap 'pass_on TERM' TERM
cd -- '/scratch/some body'"'"'s "runs"/$HOME #1; `id`' || { echo "matscout: $(hostname) does not see" '/scratch/some body'"'"'s "runs"/$HOME #1; `id`' >&2; exit 72; }
export OMP_NUM_THREADS=4
export NOTE='it'"'"'s $HOME'
type module >/dev/null 2>&1 || . /etc/profile
module load gcc/13.2 || { echo gcc/13.2 >>failed_modules.txt; echo "matscout: no module" gcc/13.2 >&2; exit 78; }
module load vasp/6.4.3 || { echo vasp/6.4.3 >>failed_modules.txt; echo "matscout: no module" vasp/6.4.3 >&2; exit 78; }
ulimit -s unlimited
echo $$
/opt/matscout/bin/python -P -m matscout.workflows.launch.node '/scratch/some body'"'"'s "runs"/$HOME #1; `id`' &
child=$!
while wait "$child"; code=$?; [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do :; done
child=
rm -f scratch.*
exit "$code"
