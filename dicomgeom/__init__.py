"""The geometry engine: DICOM headers -> planes in patient coordinates -> stacks -> views.

Floor 0 of the house. Coordinates are DICOM's LPS in millimetres; pixel coordinates
are (column, row) with integers at pixel centres.
"""
