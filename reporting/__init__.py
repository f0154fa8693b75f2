"""Pictures for people: catalogues, stores, runs and experiments as one self-contained HTML file. Floor 3."""
