"""Control judgments, which remove or replace the information from people."""
