"""The commands of ``regulars`` by topic; ``pipelines.cli`` puts them together."""
