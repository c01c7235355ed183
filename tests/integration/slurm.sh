#!/bin/sh
# Start a Slurm of one node with two cores on 127.0.0.1, and print the path of its slurm.conf once it takes jobs.
#
#   slurm.sh start FOLDER    install it where it is not (Debian), start; whatever ran in FOLDER before is ended first
#   slurm.sh stop FOLDER     cancel its jobs, end its daemons
#
# Everything it writes lies in FOLDER, which a start empties. Needs root, as jobs are started in their owner's name.
set -eu

usage="usage: slurm.sh start|stop FOLDER"
action=${1:?"$usage"}
folder=${2:?"$usage"}
[ "$action" = start ] && mkdir -p "$folder"
[ -d "$folder" ] || exit 0
folder=$(cd "$folder" && pwd -P)
conf=$folder/slurm.conf
PATH=$PATH:/usr/sbin:/sbin
export PATH SLURM_CONF="$conf"

# Numbers of our daemons and of their jobs' processes. A number in a file may be another process's by now, so they are
# known by an open file in the folder (slurmstepd has no environment left) or by the slurm.conf they were started with.
ours() {
    {
        find /proc/[0-9]*/fd -lname "$folder/*" || true
        grep -lzxF "SLURM_CONF=$conf" /proc/[0-9]*/environ || true
    } 2>/dev/null | cut -d/ -f3 | sort -u | while read -r number; do
        case $(cat "/proc/$number/comm" 2>/dev/null) in
        munged | slurmctld | slurmd | slurmscriptd | slurmstepd) echo "$number" ;;
        *) if grep -qzx "SLURMD_NODENAME=.*" "/proc/$number/environ" 2>/dev/null; then echo "$number"; fi ;;
        esac
    done
}

stop() {
    # Without its controller, jobs are ended as processes.
    if [ -n "$(ours)" ] && timeout 3 scancel --user="$(id -un)" >/dev/null 2>&1; then
        tries=50
        while [ $tries -gt 0 ] && [ -n "$(timeout 3 squeue --noheader 2>/dev/null)" ]; do
            sleep 0.1
            tries=$((tries - 1))
        done
    fi
    for signal in TERM KILL; do
        tries=50
        while [ $tries -gt 0 ]; do
            numbers=$(ours)
            [ -n "$numbers" ] || return 0
            [ $tries -lt 50 ] || echo "$numbers" | xargs kill "-$signal" 2>/dev/null || true
            sleep 0.1
            tries=$((tries - 1))
        done
    done
    echo "these processes do not end: $(ours | xargs)" >&2
    return 1
}

install() {
    command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return 0
    command -v apt-get >/dev/null || {
        echo "no Slurm on PATH, and no apt-get to install it with: install slurm-wlm and munge" >&2
        exit 1
    }
    export DEBIAN_FRONTEND=noninteractive
    # Standard output belongs to the caller.
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; } >&2
}

case $action in
stop)
    stop
    exit
    ;;
start) ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac

[ "$(id -u)" -eq 0 ] || { echo "slurm.sh needs root" >&2; exit 1; }
[ -f "$conf" ] || [ -z "$(ls -A "$folder")" ] || { echo "$folder holds other things: name a folder of its own" >&2; exit 1; }
install
stop
rm -rf "$folder"
mkdir -p "$folder/state" "$folder/spool" "$folder/log" "$folder/munge"
chmod 755 "$folder" "$folder/munge"

ports=$("${PYTHON:-python3}" -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
# SlurmdTimeout, KillWait: a killed daemon is noticed in seconds. MinJobAge: a finished job can be looked at for minutes.
cat >"$conf" <<CONF
ClusterName=loop
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MinJobAge=300
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF

munge=$folder/munge
(umask 077 && dd if=/dev/urandom of="$munge/key" bs=1 count=128 2>/dev/null)
fail() {
    echo "$1" >&2
    tail -n 20 "$folder"/log/*.log "$munge/munged.log" >&2 2>/dev/null || true
    stop
    exit 1
}
# --force: a checkout's folder may belong to another user. Daemons keep no hold on the caller's pipes.
munged --force --key-file="$munge/key" --socket="$munge/munge.socket" --pid-file="$munge/munged.pid" \
    --log-file="$munge/munged.log" --seed-file="$munge/seed" >"$munge/out" 2>&1 </dev/null || fail "munged does not start"
slurmctld -f "$conf" >"$folder/log/slurmctld.out" 2>&1 </dev/null || fail "slurmctld does not start"
slurmd -f "$conf" -N localhost >"$folder/log/slurmd.out" 2>&1 </dev/null || fail "slurmd does not start"
tries=300
until [ "$(timeout 10 sinfo --noheader --format=%T 2>/dev/null)" = idle ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "the node does not become idle: $(sinfo 2>&1)"
    sleep 0.1
done
echo "$conf"
