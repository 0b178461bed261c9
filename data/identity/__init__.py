"""Identity: who is who among customers, decided by rules and people, with a log."""
