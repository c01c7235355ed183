"""Files of workers: what they hold, and how a mistake in one is told."""

from pathlib import Path

import pytest

from matscout.errors import UserError
from matscout.workflows.launch.workers_file import find_workers_file, get_worker, read_workers

CLUSTER = """\
cluster:
  scheduler: slurm
  launch_folder: /scratch/runs
  walltime: 24:00:00
"""


@pytest.fixture
def read(tmp_path):
    def reader(text):
        (tmp_path / "workers.yaml").write_text(text)
        return read_workers(tmp_path / "workers.yaml")

    return reader


@pytest.fixture
def refused(read):
    def reader(text):
        with pytest.raises(UserError) as caught:
            read(text)
        return str(caught.value).partition("workers.yaml")[2]

    return reader


def test_the_least_that_a_worker_needs(read):
    cluster = read(CLUSTER)["cluster"]
    assert (cluster.name, cluster.scheduler, cluster.walltime) == ("cluster", "slurm", 86_400)
    assert (cluster.cores, cluster.ranks, cluster.per_allocation, cluster.max_queued) == (1, 1, 1, 10)
    assert cluster.launch_folder == Path("/scratch/runs")
    assert cluster.cleanup.completed is None


def test_all_that_it_may_be_told(read):
    text = """\
big:
  scheduler: SLURM
  launch_folder: /scratch/runs
  walltime: 2-00:00:00
  partition: batch
  account: mat-2026
  qos: long
  nodes: 2
  cores: 16
  ranks_per_node: 8
  memory: 1.5TB
  gpus: 4
  gpu_type: a100
  directives: [--constraint=avx512]
  modules: vasp/6.4
  environment: {OMP_NUM_THREADS: 2, SCALE: 0.5, TZ: "UTC"}
  before: [ulimit -s unlimited]
  after: [sync]
  python: /opt/bin/python
  commands: {vasp: srun vasp_std}
  protocols: [vasp-*, gpaw-pbe]
  max_queued: 40
  per_allocation: 100
  at_once: 4
  reserve: 120
  cleanup: {completed: large, failed: nothing, large: [WAVECAR], failed_after_days: 14}
small:
  scheduler: pbs
  launch_folder: /scratch/runs
  walltime: 01:00:00
"""
    workers = read(text)
    assert list(workers) == ["big", "small"]
    big = workers["big"]
    assert (big.walltime, big.memory, big.modules) == (172_800, 1_572_864, ("vasp/6.4",))
    assert big.environment == {"OMP_NUM_THREADS": "2", "SCALE": "0.5", "TZ": "UTC"}
    assert [big.takes(name) for name in ("vasp-mp-gga", "gpaw-pbe", "gpaw-pbe-static")] == [True, True, False]
    assert workers["small"].takes("anything")


@pytest.mark.parametrize("walltime", ["24:00:00", "01:00:00", "1:30:00", "100:00:00"])
def test_times_are_read_as_they_stand(read, walltime):
    """YAML makes numbers of some of them."""
    hours, minutes, seconds = map(int, walltime.split(":"))
    cluster = read(CLUSTER.replace("24:00:00", walltime))["cluster"]
    assert cluster.walltime == 3600 * hours + 60 * minutes + seconds


def test_variables_in_the_place_of_launch_folders_are_replaced(read, monkeypatch):
    monkeypatch.setenv("SCRATCH", "/gpfs/somebody")
    cluster = read(CLUSTER.replace("/scratch/runs", "$SCRATCH/runs"))["cluster"]
    assert cluster.launch_folder == Path("/gpfs/somebody/runs")


def test_missing_keys_are_named_together(refused):
    said = refused(f"{CLUSTER}other:\n  scheduler: slurm\n")
    assert said == ", line 5: other.launch_folder and other.walltime are missing"
    words = "cluster.scheduler and cluster.launch_folder and cluster.walltime are missing"
    assert refused("cluster:\n  cores: 2\n") == f", line 1: {words}"


def test_this_machine_needs_no_worker(refused):
    words = "cluster.scheduler: this machine needs no worker, leave it out: matscout run calculates here"
    assert refused("cluster: {scheduler: local, at_once: 2}\n") == f", line 1: {words}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("partitoin: batch", ', line 5: unknown key "partitoin" in cluster. Nearest: partition.'),
        ("cleanup: {complete: all}", ', line 5: unknown key "complete" in cluster.cleanup. Nearest: completed.'),
        ("cores: two", ", line 5: cluster.cores is 'two': input should be a valid integer"),
        ("cores: 0", ", line 5: cluster.cores is 0: input should be greater than or equal to 1"),
        ("memory: 64", ", line 5: cluster.memory: 64 is no amount of memory: write it with its unit, such as 64GB"),
        ("modules: {a: b}", ", line 5: cluster.modules is {'a': 'b'}: it must be a list, such as [...]"),
        ("partition: a b", ", line 5: cluster.partition is 'a b': "),
        ("account: 12", ", line 5: cluster.account is 12: it must be text: write it in quotation marks"),
        ("name: other", ', line 5: unknown key "name" in cluster'),
        ("ranks_per_node: 3\n  cores: 4", ", line 1: cluster: 4 cores cannot be shared by 3 MPI ranks"),
        ("reserve: 5", ", line 5: cluster.reserve is 5: "),
        ("gpu_type: a100", ", line 1: cluster: gpu_type without gpus: say how many"),
        ("limit_memory: true", ", line 1: cluster: limit_memory without memory: say how much"),
        ("parallel_environment: mpi", ", line 1: cluster: scheduler slurm has no use for parallel_environment"),
        ('before: ["a\\nb"]', ", line 5: cluster.before[0]: 'a\\nb' holds a line break"),
        ("directives: [constraint=avx]", ", line 5: cluster.directives: 'constraint=avx' is no directive"),
        ("directives: [--requeue]", ", line 5: cluster.directives: '--requeue' is written by matscout itself"),
        ("directives: [-J x]", ", line 5: cluster.directives: '-J x' is written by matscout itself"),
        ("cores: 1\n  cores: 2", ', line 6: the key "cores" stands here a second time'),
        ("environment: {A-B: 1}", ", line 5: cluster.environment: 'A-B' is no name of a variable"),
        ("environment: {A: [1]}", ", line 5: cluster.environment: A must be text or a number"),
        ("commands: {vasp_std: x}", ', line 5: cluster.commands: "vasp_std" has no run command; vasp, vasp_gamma, '),
        ("commands: {gpaw: mpirun gpaw}", ', line 5: cluster.commands: "gpaw" has no run command; vasp, '),
        ("environment: [1]", ", line 5: cluster.environment is [1]: it must be a mapping, such as {key: value}"),
    ],
)
def test_a_mistake_is_told_with_its_place(refused, line, message):
    assert refused(f"{CLUSTER}  {line}\n").startswith(message)


@pytest.mark.parametrize("walltime", ["24", "86400", "24h", "24:00", "24:61:00"])
def test_a_time_that_may_mean_several_things_is_refused(refused, walltime):
    assert "is no time: write it as hours:minutes:seconds" in refused(CLUSTER.replace("24:00:00", walltime))


def test_a_walltime_that_is_all_reserve_is_refused(refused):
    assert "leaves nothing but the reserve of 60 s" in refused(CLUSTER.replace("24:00:00", "00:01:00"))


@pytest.mark.parametrize(
    "line",
    [
        "environment: {DB_PASSWORD: hunter2}",
        "environment: {PMG_MAPI_KEY: abc}",
        "environment: {GITHUB_TOKEN: abc}",
        "environment: {MONGO_URI: 'mongodb://me:hunter2@host/db'}",
        "environment: {MATSCOUT_STORE: /scratch/store}",
        "before: [export AWS_SECRET_ACCESS_KEY=abc]",
        "before: ['curl https://me:hunter2@host/x']",
        "directives: ['--export=MP_API_KEY=abc']",
        "commands: {vasp: 'PASSWORD=x srun vasp_std'}",
    ],
)
def test_secrets_are_refused_and_not_repeated(refused, line):
    said = refused(f"{CLUSTER}  {line}\n")
    assert "must not stand in a script" in said or "needs no database" in said
    assert "hunter2" not in said
    assert "abc" not in said


@pytest.mark.parametrize("name", ["PASSES", "LM_LICENSE_FILE", "KEYBOARD", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"])
def test_names_that_only_sound_like_secrets_are_taken(read, name):
    assert read(f"{CLUSTER}  environment: {{{name}: x}}\n")["cluster"].environment == {name: "x"}


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("runs", "must be an absolute path"),
        ("$NOT_SET_HERE/runs", "a variable that is not set"),
        ('"/a\\nb"', "control"),
    ],
)
def test_a_place_that_nodes_may_not_see_is_refused(refused, folder, message):
    assert message in refused(CLUSTER.replace("/scratch/runs", folder))


@pytest.mark.parametrize(
    ("scheduler", "line", "message"),
    [
        ("sge", "cores: 4", "parallel_environment is missing, which sge needs"),
        ("sge", "nodes: 2", "scheduler sge has no use for nodes"),
        ("pbs", "qos: long", "scheduler pbs has no use for qos"),
        ("pbs", "directives: [-l walltime=99:00:00]", "is written by matscout itself"),
        ("lsf", "directives: [-r]", "is written by matscout itself"),
        ("slrum", "cores: 1", "cluster.scheduler is 'slrum': input should be 'slurm', 'pbs', 'sge' or 'lsf'"),
    ],
)
def test_what_a_scheduler_has_no_use_for_is_no_silent_promise(refused, scheduler, line, message):
    assert message in refused(f"{CLUSTER}  {line}\n".replace("slurm", scheduler))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no workers"),
        ("- a\n", "holds no workers"),
        ("cluster: slurm\n", ", line 1: cluster must be a mapping"),
        ("1: {scheduler: slurm}\n", ", line 1: 1 is no name of a worker"),
        (CLUSTER.replace("cluster", "a b"), ', line 1: "a b" is no name of a worker'),
        ("cluster: {scheduler: [\n", ", line 2: not valid YAML: "),
    ],
)
def test_a_file_that_holds_something_else_is_refused(refused, text, message):
    assert message in refused(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no file of workers .*none\.yaml here"):
        read_workers(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read as a file of workers: Is a directory"):
        read_workers(tmp_path)


def test_the_file_beside_the_campaign_comes_before_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(UserError, match=r"there is no workers\.yaml, .*looked at .*campaign.* and .*config"):
        find_workers_file(tmp_path / "campaign")
    for folder in (tmp_path / "config" / "matscout", tmp_path / "campaign"):
        folder.mkdir(parents=True)
        (folder / "workers.yaml").write_text(CLUSTER)
        assert find_workers_file(tmp_path / "campaign") == folder / "workers.yaml"


def test_an_unknown_worker_is_told_the_nearest(read, tmp_path):
    workers = read(CLUSTER)
    assert get_worker(workers, "cluster", tmp_path) is workers["cluster"]
    with pytest.raises(UserError, match=r'unknown worker "clutser" in .* Nearest: cluster'):
        get_worker(workers, "clutser", tmp_path)
