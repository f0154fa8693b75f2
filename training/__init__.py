"""The thin trainer: stores -> pretrained and fine-tuned networks. Floor 2; knows nothing of DICOM."""
