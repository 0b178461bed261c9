"""Discovery: what a company's files seem to be, with the evidence, and the mapping that follows from it."""
