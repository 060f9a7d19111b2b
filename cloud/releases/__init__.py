"""New versions of the agent: made into signed bundles, kept, served, and staged over a fleet."""
