"""Benchmarks are programs of their own, run one at a time on a calm machine; pytest only checks that they still run."""

collect_ignore_glob = ["*.py"]
