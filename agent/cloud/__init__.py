"""The agent's wire to the cloud: connection, commands in, reports out. Meets `making` in the journal only."""
