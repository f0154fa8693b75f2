"""The label factory: catalogue rows -> labelled examples in a Zarr store. Floor 1."""
