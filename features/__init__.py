"""What was known of each customer at ``as_of``: one decorated function is one feature."""
