"""The flows and the command: thin wiring of data, features and models with Prefect and MLflow."""
