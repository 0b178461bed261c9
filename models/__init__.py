"""Models and statistics on data frames: churn, value, baskets, campaigns, decisions."""
