"""What is said of runs that are over: tables of scores, charts, and the report's page."""
