"""Grids of trainings and the tables they make: what a paper compares, from one file."""
