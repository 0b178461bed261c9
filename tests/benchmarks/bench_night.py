"""A whole night of the demo in an empty folder: time per stage, peak memory, and the same night again.

.venv/bin/python tests/benchmarks/bench_night.py
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from measuring import calibration_seconds, measure, show, show_ratios, warn_if_busy

COMMAND = (str(Path(sys.executable).with_name("regulars")), "demo", "--root")
LIMIT_SECONDS, LIMIT_MIB = 90, 2.5 * 1024
"""What a night may take on two cores."""


def main() -> None:
    """Run the night twice and print what it took."""
    warn_if_busy()
    unit = calibration_seconds()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "demo"
        # A configuration of the user's own for Prefect or MLflow would be measured with it.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "MLFLOW"))}
        first = measure([*COMMAND, str(root)], env=environment | {"HOME": folder})
        again = measure([*COMMAND, str(root)], env=environment | {"HOME": folder})
        lake_mib = _size(root / "lake") / 1024**2
    if "already published" not in again.output:
        sys.exit("The second run is another night: the code or its settings changed meanwhile.")
    show("A night of the demo", ("stage", "time", "tables and rows"), _stages(first.output, first.seconds))
    figures = [
        ("whole night", f"{first.seconds:.1f} s (at most {LIMIT_SECONDS} s), {first.cpu_seconds:.1f} CPU seconds"),
        ("peak memory of all processes", f"{first.peak_mib:,.0f} MiB (at most {LIMIT_MIB:,.0f} MiB)"),
        ("the same night again", f"{again.seconds:.1f} s, {again.cpu_seconds:.1f} CPU seconds"),
        ("lake on disk", f"{lake_mib:.0f} MiB"),
        ("unit of work", f"{unit:.2f} CPU seconds"),
    ]
    show("As a whole", ("what", "figure"), figures)
    show_ratios(
        {
            "night_cpu_per_unit": first.cpu_seconds / unit,
            "night_seconds_per_cpu_second": first.seconds / first.cpu_seconds,
            "again_per_first_cpu": again.cpu_seconds / first.cpu_seconds,
            "again_per_first_seconds": again.seconds / first.seconds,
            "peak_per_lake_bytes": first.peak_mib / lake_mib,
        }
    )


def _stages(output: str, seconds: float) -> list[tuple[str, str, str]]:
    """Return the lines in which the command told of its stages, and what remains of the whole."""
    found = re.findall(r"^  (\w+) +([\d.]+) s  (.*)$", output, re.MULTILINE)
    rest = seconds - sum(float(took) for _, took, _ in found)
    return [
        *((stage, f"{took} s", note) for stage, took, note in found),
        ("start", f"{rest:.1f} s", "imports, servers"),
    ]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
