"""Digital patients of known truth, written as DICOM exports. Beside the house: only cli and tests use it."""
