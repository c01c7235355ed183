#!/bin/bash
#$ -S /bin/bash
#$ -N ms-0123456789ab
#$ -l h_rt=01:00:00
#$ -l s_rt=00:59:00
#$ -cwd
#$ -j y
#$ -o scheduler.out
#$ -r n

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
