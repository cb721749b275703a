"""Reports about finished runs: tables of scores, charts, and the report's page."""
