"""Plug-ins and their components: discovery, documentation, construction from tables, templates."""
