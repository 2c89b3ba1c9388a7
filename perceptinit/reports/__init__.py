"""Statistics over seeds, verdicts, tables, figures and the report page."""
