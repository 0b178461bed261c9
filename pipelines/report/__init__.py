"""The report that a customer-relationship manager reads in the morning."""
