"""Stands in for VASP: answers with what a real VASP 6.3.2 wrote for NaCl, as it comes with ASE."""

import shutil
from pathlib import Path


def main():
    import ase.test

    data = Path(ase.test.__file__).parent / "testdata" / "vasp"
    shutil.copy(data / "vasprun_dfpt.xml", "vasprun.xml")
    shutil.copy(data / "OUTCAR_example_1", "OUTCAR")
    shutil.copy("POSCAR", "CONTCAR")
    Path("OSZICAR").write_text("   1 F= -.67458730E+01 E0= -.67458730E+01  d E =0.000000E+00\n")
    for name in ("WAVECAR", "CHGCAR"):
        Path(name).write_text("")


if __name__ == "__main__":
    main()
