"""What the codes, MPI and the schedulers write when a calculation fails, and where to look for it.

The texts are those of the programs themselves: VASP's as custodian's handlers list them, GPAW's and ASE's from their
sources, Slurm's from the messages of ``slurmstepd``, PBS's and LSF's from their job reports.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matscout.db.documents import Cause

HEAD, TAIL = 64 * 1024, 256 * 1024
"""How much of a long file is read, bytes: an OUTCAR of a relaxation has hundreds of megabytes."""

MAX_FILES, MAX_DEPTH = 60, 3
"""How many files are read, the newest first, and how many folders deep they are looked for."""

OUTPUTS = ("OUTCAR", "vasp.out", "std_err.txt", "*.log", "*.out", "*.err", "*.txt", "slurm-*", "*.[oe][0-9]*")
"""Names of files that codes and schedulers print to, also with ``.gz``."""

NOT_OUTPUTS = ("*.json", "*.json.gz", "POTCAR*", "requirements*.txt")

LONGEST = 300
"""Characters of a line that are kept as evidence."""


class Sign(NamedTuple):
    """A line that tells a cause."""

    cause: Cause
    line: str
    """The line, with its file."""
    message: str


class _Text(NamedTuple):
    cause: Cause
    message: str
    pattern: re.Pattern[str]


def _text(cause: Cause, message: str, *patterns: str) -> _Text:
    return _Text(cause, message, re.compile("|".join(patterns)))


MACHINE_TEXTS = (
    _text(
        "node",
        "a node of the job failed",
        r"DUE TO NODE FAILURE",
        r"error: Node failure on",
        r"ORTE has lost communication with a remote daemon",
        r"Transport retry count exceeded",
    ),
    _text(
        "node",
        "the disk is full or gone",
        r"No space left on device",
        r"Disk quota exceeded",
        r"Stale (NFS )?file handle",
        r"Read-only file system",
    ),
    _text("node", "the scheduler took the machine away", r"CANCELLED AT .* DUE TO (PREEMPTION|JOB REQUEUE)"),
    _text(
        "walltime",
        "the job reached its time limit",
        r"CANCELLED AT .* DUE TO TIME LIMIT",
        r"PBS: job killed: (walltime|cput)",
        r"TERM_(RUNLIMIT|CPULIMIT)",
        r"job_time_limit|exceeded hard wallclock time",
    ),
    _text(
        "memory",
        "the memory was not enough",
        r"[Oo]om[-_]kill event",
        r"oom[-_ ]?killer|cgroup out-of-memory handler",
        r"error: .*: tasks? [\d,-]+: Out Of Memory",
        r"exceeded (job |virtual )?memory limit",
        r"PBS: job killed: (v?mem|pmem|pvmem)",
        r"TERM_MEMLIMIT",
        r"insufficient virtual memory",
        r"Allocation would exceed memory limit",
        r"forrtl: severe \(179\)",
        r"Cannot allocate memory|std::bad_alloc|can't allocate memory",
        r"Unable to allocate [\d.]+ [KMGT]iB",
        r"^\s*([\w.]+\.)?_?(Array)?MemoryError\b",
        r"CUDA (error: )?out of memory",
        r"^\s*Killed\s*$",
    ),
)
"""Of the machine: they tell whatever the code itself wrote."""

CODE_TEXTS = (
    _text(
        "input",
        "the code cannot take its input",
        r"Error reading item",
        r"No INCAR found",
        r"number of potentials on File POTCAR",
        r"ERROR: charge density could not be read",
        r"while reading (plane|WAVECAR)",
        r"Fatal error: unable to match k-point|Fatal error detecting k-mesh",
        r"Routine TETIRR needs special values|[Tt]etrahedron method fails",
        r"TOO FEW BANDS|number of bands is not sufficient",
        r"ALGO=A and IALGO=5X tend to fail",
        r"rotation matrix was not found|Found some non-integer element in rotation matrix",
        r"group operation missing|Inconsistent Bravais lattice|HNFORM: k-point generating",
        r"PRICELV: current lattice and primitive lattice are incommensurate",
        r"internal error in subroutine (PRICEL|SGRCON|IBZKPT|INVGRP)",
        r"PEAD routines do not work for NCORE|ELF: KPAR>1 not implemented",
        r"internal error in SET_CORE_WF|Spin polarized Harris functional dynamics",
        r"Unknown GPAW parameter|GPAW\(\) got an unexpected keyword argument|Could not find required PAW dataset",
        r"No POTCAR for .* found",
    ),
    _text(
        "relaxation",
        "the relaxation broke down",
        r"ZBRENT: fatal",
        r"BRIONS problems: POTIM should be increased",
        r"ERROR: the triple product of the basis vectors",
        r"LAPACK: Routine ZPOTRF failed|Routine ZPOTRF ZTRTRI",
        r"CollapsedCellError",
    ),
    _text(
        "scf",
        "the electrons did not converge",
        r"KohnShamConvergenceError|^\s*Did not converge!",
        r"electronic self-consistency was not achieved",
        r"EDIFF was not reached",
        r"Error EDDDAV|BRMIX: very serious problems",
        r"EDDIAG: Call to routine ZHEEV failed|ERROR in EDDIAG",
        r"ERROR in subspace rotation P[SD]SYEVX",
        r"EDWAV: internal error, the gradient is not orthogonal",
        r"WARNING in EDDRMM: call to ZHEGV failed",
        r"Sub-Space-Matrix is not hermitian",
        r"SBESSELITER : nicht konvergent",
        r"ERROR FEXC[PF]",
    ),
    _text(
        "node",
        "the run command, or a library that it needs, was not found here",
        r"execve\(\): .*(No such file or directory|Permission denied)",
        r"execvp error on file .*No such file or directory",
        r"was unable to find the specified executable file",
        r"\S: command not found$|^\S*sh: \d+: \S+: not found$",
        r"error while loading shared libraries",
    ),
    _text("memory", "a segmentation fault, most often of stack or memory", r"forrtl: severe \(174\)"),
    _text(
        "unknown",
        "the code stopped with an internal error",
        r"VERY BAD NEWS",
        r"internal (error|ERROR)",
        r"I REFUSE TO CONTINUE WITH THIS SICK JOB",
    ),
)
"""Of the codes, the telling ones first: VASP often complains of several things before it ends."""

_KILLED = re.compile(r"(?:KILLED BY SIGNAL: |exited on signal |EXIT STRING: .*\(signal )(\d+)")
_ENDED = re.compile(r"EXIT CODE: (\d+)")

CUSTODIAN_ERRORS: dict[str, Cause] = {
    "Walltime reached": "walltime",
    "Frozen job": "node",
    "out_of_memory": "memory",
    "Non-converging job": "scf",
    "Positive energy": "scf",
    "Unconverged": "scf",
    "LargeSigma": "scf",
    **dict.fromkeys(("edddav", "eddrmm", "brmix", "subspacematrix", "eddiag", "zheev", "grad_not_orth"), "scf"),
    **dict.fromkeys(("pssyevx", "pdsyevx", "nicht_konv", "fexcf", "amin"), "scf"),
    **dict.fromkeys(("zbrent", "brions", "POTIM", "triple_product", "zpotrf", "Excessive drift"), "relaxation"),
    **dict.fromkeys(("tet", "tetirr", "dentet", "ksymm", "inv_rot_mat", "incorrect_shift", "rspher"), "input"),
    **dict.fromkeys(("too_few_bands", "rot_matrix", "pricel", "pricelv", "algo_tet", "elf_kpar", "elf_ncl"), "input"),
    **dict.fromkeys(("point_group", "posmap", "bravais", "nbands_not_sufficient", "hnform", "read_error"), "input"),
    **dict.fromkeys(("set_core_wf", "ibzkpt", "spin_polarized_harris", "dfpt_ncore", "coef"), "input"),
    **dict.fromkeys(("symprec_noise", "mesh_symmetry", "kpoints_trans", "rhosyg", "real_optlay"), "input"),
}
"""What custodian's handlers call the errors they find."""

CUSTODIAN_VALIDATORS: dict[str, Cause] = {"VasprunXMLValidator": "parse", "VaspFilesValidator": "parse"}


def find(files: Sequence[Path], folder: Path, texts: Sequence[_Text]) -> Sign | None:
    """Look for the first of `texts` that a file holds; of that file the last line with it.

    Parameters
    ----------
    files
        Files in the order they are asked in, as `output_files` gives them.
    folder
        What their names are given relative to.
    """
    read = [(path, _lines(path)) for path in files]
    for text in texts:
        for path, lines in read:
            for line in reversed(lines):
                if text.pattern.search(line):
                    return Sign(text.cause, evidence(path, folder, line), text.message)
    return None


def killed_by(files: Sequence[Path], folder: Path) -> tuple[int, str] | None:
    """Return the signal or exit code that MPI reports of a rank, and the line that says so."""
    for path in files:
        lines = _lines(path)
        # A signal first: MPICH gives its number as the exit code, too.
        for pattern, sign in ((_KILLED, -1), (_ENDED, 1)):
            for line in reversed(lines):
                if match := pattern.search(line):
                    return sign * int(match[1]), evidence(path, folder, line)
    return None


def custodian_sign(folder: Path) -> Sign | None:
    """Read what custodian gave up on, if it did, from the newest ``custodian.json`` below a folder."""
    for path in _newest(p for p in _below(folder) if p.name in {"custodian.json", "custodian.json.gz"})[:1]:
        try:
            found = _given_up(json.loads("\n".join(_lines(path, head=TAIL * 16, tail=0)))[-1])
        except (ValueError, LookupError, TypeError, AttributeError):
            return None  # cut off while it was written: the outputs themselves may still tell
        if found is not None:
            cause, line, message = found
            return Sign(cause, evidence(path, folder, f"custodian: {line}"), message)
    return None


def _given_up(run: dict[str, Any]) -> tuple[Cause, str, str] | None:
    if (validator := _class_name(run.get("validator"))) in CUSTODIAN_VALIDATORS:
        return CUSTODIAN_VALIDATORS[validator], f"{validator} failed", "the output is incomplete"
    last = _class_name(run.get("handler"))
    if not last and not run.get("max_errors") and not run.get("max_errors_per_job"):
        return None  # what it found is put right; with an exit code alone it found nothing in the last run
    for correction in reversed(run["corrections"]):
        handler = _class_name(correction.get("handler"))
        for error in correction.get("errors") or [] if last in ("", handler) else []:
            if cause := _custodian_cause(error, correction.get("actions")):
                return cause, f"{handler} found {error}", f"custodian gave up on {error}"
    return None


def _custodian_cause(error: str, actions: Any) -> Cause | None:
    # One handler of custodian's is for electrons and ions alike; what it changed tells which.
    if error == "Unconverged" and "IBRION" in json.dumps(actions):
        return "relaxation"
    return CUSTODIAN_ERRORS.get(error.rstrip("."))


def _class_name(content: Any) -> str:
    return str(content.get("@class", "")) if isinstance(content, dict) else ""


def output_files(folder: Path) -> list[Path]:
    """Return the files below a folder that programs print to, the newest first."""
    found = (
        path
        for path in _below(folder)
        if any(fnmatch(path.name.removesuffix(".gz"), name) for name in OUTPUTS)
        and not any(fnmatch(path.name, name) for name in NOT_OUTPUTS)
    )
    return _newest(found)


def last_line(files: Sequence[Path], folder: Path) -> str | None:
    """Return the last words of the newest file that has any, as evidence where nothing tells more."""
    for path in files:
        for line in reversed(_lines(path)):
            if line.strip():
                return evidence(path, folder, line)
    return None


def evidence(path: Path, folder: Path, line: str) -> str:
    """Join a file's name and a line of it, without the frame VASP draws around its messages."""
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    return f"{name}: {line.strip().strip('|').strip()[:LONGEST]}"


def _below(folder: Path, depth: int = 0) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return  # gone, or not to be read: there is no evidence in it
    for path in entries:
        if path.is_symlink():
            continue
        if path.is_dir() and depth < MAX_DEPTH:
            yield from _below(path, depth + 1)
        elif path.is_file():
            yield path


def _newest(paths: Iterator[Path]) -> list[Path]:
    dated = []
    for path in paths:
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except OSError:
            continue  # removed meanwhile
    return [path for _, path in sorted(dated, reverse=True)[:MAX_FILES]]


def _lines(path: Path, *, head: int = HEAD, tail: int = TAIL) -> list[str]:
    """Read the beginning and the end of a file; nothing where it cannot be read."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as packed:
                content = packed.read(head + tail)
        else:
            with path.open("rb") as file:
                content = file.read(head)
                size = file.seek(0, 2)
                if size > head and tail:
                    file.seek(max(head, size - tail))
                    content += b"\n" + file.read(tail)
    except (OSError, EOFError, zlib.error):  # gone, or packed and damaged
        return []
    return content.decode(errors="replace").splitlines()
