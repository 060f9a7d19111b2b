"""The operator's console at `/console`: a shell that guards every page, and one section for each subject."""

from cloud.console.shell.blueprint import create_blueprint as create_blueprint
