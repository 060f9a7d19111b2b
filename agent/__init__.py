"""The program on the coffee machine: takes make commands, drives the machine, says truthfully what became of each."""

AGENT_VERSION = "0.1.0"
