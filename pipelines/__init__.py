"""The flows and the command: thin wiring of data, features and models with Prefect and MLflow.

Importing this package sets, where the environment does not say otherwise, that nothing reports home and that the
servers' libraries keep quiet: the settings are read when Prefect and MLflow are imported, so they must come first.
"""

import os
import warnings

for _name, _value in {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # What goes wrong in Prefect's own temporary server reaches the night that asked it, and is said there, once.
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    # A busy machine takes longer than the 20 seconds that Prefect grants its own temporary server.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # Nobody asks the user interface for jobs, and their queue would stay behind in a folder of its own.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # Threads that spin while they wait make a fit up to forty times slower on busy cores, and on two of them one thread
    # is the faster choice for tables of this size anyway (training 12 s against 20 s). Set them for larger machines.
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)

# MLflow's progress bars ask a notebook for widgets, and say on every import that there are none.
warnings.filterwarnings("ignore", message="IProgress not found")
