"""Editing the fleet: merchants and their keys, machines and places, menus, the buyer's texts, import and export."""
