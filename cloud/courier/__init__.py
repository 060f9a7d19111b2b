"""Between the cloud's outbox and the machines: commands out over MQTT, what machines say in. Decides nothing."""
