"""The shared wire contract: what cloud, agent and machine say to each other, and in which bytes.

Pure: standard library and msgspec; no I/O, no clock, no threads, nothing of ours imported.
"""

VERSION = 1
"""Version of the MQTT messages and of the topic tree (`coffee/v1/...`)."""
