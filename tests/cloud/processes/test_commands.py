"""The table of `coffee-cloud`'s commands: what it names is there, and nothing there is missing from it."""

from importlib import import_module

import click
import pytest

from cloud.cli import COMMANDS


@pytest.mark.parametrize("module", sorted(set(COMMANDS.values())))
def test_a_module_brings_exactly_the_commands_the_table_says(module: str) -> None:
    brought = click.Group()
    import_module(module).add_to(brought)

    assert set(brought.commands) == {name for name, of in COMMANDS.items() if of == module}
