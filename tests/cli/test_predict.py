"""`anatprep predict`, from the DICOM images of enhanced and classic exams and back to DICOM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
import zarr
from monai.bundle import ConfigParser

from cli.main import run
from dicomgeom.catalogue import open_catalogue
from dicomgeom.errors import EXIT_DONE, EXIT_SOME_SKIPPED, EXIT_WRONG_USE
from pretext_targets.labelled import index_segmentations, read_labels
from pretext_targets.reader import StoreReader
from training.model import Configuration, Model, read_model, write_weights
from training.tasks.segmentation import Segmentation
from training.transfer import WEIGHTS_FILE

ROOMY = (EXIT_DONE, EXIT_SOME_SKIPPED)


@pytest.fixture(scope="module", params=["enhanced", "frame-per-file"])
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exams of this kind, their catalogue, a labelled store, and a run that learned for some steps."""
    folder = tmp_path_factory.mktemp(request.param)
    export, catalogue = folder / "export", folder / "catalogue"
    words = ["--exams", "3", "--phases", "2", "--seed", "3", "--no-tissues", "--trap", request.param]
    assert run(["phantom", str(export), *words, "--json"]) in ROOMY
    assert run(["index", str(export), "-o", str(catalogue), "--json"]) in ROOMY
    grid = ["--protocol", "cardiac-sax", "--size", "64", "--spacing-mm", "5", "--json"]
    truth = str(folder / "export-truth" / "segmentations")
    assert run(["import-labels", str(catalogue), truth, *grid, "-o", str(folder / "store")]) in ROOMY
    settings = ["backbone.width=4", "batch_size=8", "steps=25", "optimiser.learning_rate=1e-2"]
    pairs = [word for setting in settings for word in ("--set", setting)]
    train = ["train", "segment-sax", "--store", str(folder / "store"), "-o", str(folder / "run")]
    assert run([*train, *pairs, "--json"]) == EXIT_DONE
    _say_something(folder / "run" / WEIGHTS_FILE)
    return folder


def _say_something(weights: Path) -> None:
    """Draw the output layer at random: after a moment of learning all may be called background."""
    model, configuration = read_model(weights)
    head = cast("Segmentation", model.task("segmentation")).head
    torch.manual_seed(0)
    torch.nn.init.normal_(head.weight)
    torch.nn.init.zeros_(head.bias)
    _write_again(weights, model, configuration)


def _write_again(weights: Path, model: Model, configuration: Configuration) -> None:
    """Replace the weights of a run by others, and their hash in its record."""
    sha256 = write_weights(weights, model, configuration)
    record = weights.parent / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"weights_sha256": sha256}))


def test_every_image_of_the_store_gets_its_segments_in_dicom(room: Path, tmp_path: Path) -> None:
    out, catalogue = tmp_path / "out", open_catalogue(room / "catalogue")
    words = ["--store", str(room / "store"), "-o", str(out), "--to", "seg"]
    assert run(["predict", str(room / "run"), *words, "--catalogue", str(catalogue.folder)]) == EXIT_DONE
    reader, found = StoreReader(room / "store"), index_segmentations(out)
    rows = [row for row in catalogue.images.to_dicts() if found.find(row) is not None]
    assert len(rows) == len(reader)
    names = ("background", *found.segment_names[1:])
    said = [
        read_labels(str(found.files[found.find(row) or 0]), row["sop_instance_uid"], row["frame"], names)
        for row in rows
    ]
    assert all(one.shape == (row["rows"], row["columns"]) for one, row in zip(said, rows, strict=True))
    assert len({int(one.sum()) for one in said}) > 1


def test_predictions_can_be_imported_as_labels_again(room: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--store", str(room / "store"), "-o", str(out), "--to", "seg"]
    assert run(["predict", str(room / "run"), *words, "--catalogue", str(room / "catalogue")]) == EXIT_DONE
    grid = ["--protocol", "cardiac-sax", "--size", "64", "--spacing-mm", "5", "--json"]
    again = tmp_path / "again"
    assert run(["import-labels", str(room / "catalogue"), str(out), *grid, "-o", str(again)]) in ROOMY
    nifti = tmp_path / "nifti"
    assert run(["predict", str(room / "run"), "--store", str(room / "store"), "-o", str(nifti)]) == EXIT_DONE
    reader, agreed = StoreReader(again), []
    for key in np.unique(reader.column("stack_key"), axis=0):
        rows = np.flatnonzero((reader.column("stack_key") == key).all(axis=1))
        path = nifti / f"{bytes(key).hex()}.nii.gz"
        if not path.is_file():  # slices not evenly spaced: a file each
            continue
        classes = np.atleast_3d(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
        for row in rows:
            place = int(reader.column("slice_index")[row])
            phase = int(reader.column("phase_index")[row])
            seen = reader.read("segmentation", np.array([row]))[0]
            agreed.append(float((classes[phase, place] == seen).mean()))
    # To the images' pixels and back again moves borders by less than a pixel of the store.
    assert agreed
    assert np.mean(agreed) > 0.9


def test_objects_need_the_catalogue(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(room / "run"), "--store", str(room / "store"), "-o", str(tmp_path / "out")]
    assert run([*words, "--to", "seg"]) == EXIT_WRONG_USE
    assert "--catalogue" in capsys.readouterr().err


def test_what_was_written_is_counted(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ["predict", str(room / "run"), "--store", str(room / "store"), "-o", str(tmp_path / "out")]
    assert run([*words, "--json"]) == EXIT_DONE
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == len(list((tmp_path / "out").iterdir()))
    assert told["stacks"] == 3


def test_images_that_cannot_be_read_are_counted_and_nothing_is_said_of_them(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, nifti, segs = tmp_path / "store", tmp_path / "nifti", tmp_path / "segs"
    shutil.copytree(room / "store", store)
    zarr.open_array(store / "valid", mode="r+")[0] = False
    words = ["predict", str(room / "run"), "--store", str(store), "--json", "-o"]
    capsys.readouterr()
    assert run([*words, str(nifti)]) == EXIT_SOME_SKIPPED
    told = capsys.readouterr()
    assert json.loads(told.out)["images_left_out"] == 1
    assert "1 image left out, whose pixels cannot be used" in told.err
    drawn = [nibabel.load(path).shape for path in nifti.iterdir()]  # type: ignore[attr-defined]
    assert sum(np.prod(shape[2:], dtype=int) for shape in drawn) == len(StoreReader(store)) - 1
    said = [*words, str(segs), "--to", "seg", "--catalogue", str(room / "catalogue")]
    assert run(said) == EXIT_SOME_SKIPPED
    found, rows = index_segmentations(segs), open_catalogue(room / "catalogue").images.to_dicts()
    assert sum(found.find(row) is not None for row in rows) == len(StoreReader(store)) - 1


@pytest.mark.filterwarnings("ignore:NvImgCodec")  # MONAI looks for a decoder of DICOM that is not here
def test_an_exported_bundle_says_of_an_image_what_predict_says(room: Path, tmp_path: Path) -> None:
    talkative, bundle, out = (tmp_path / name for name in ("run", "bundle", "out"))
    shutil.copytree(room / "run", talkative)
    model, configuration = read_model(talkative / WEIGHTS_FILE)
    torch.nn.init.normal_(model.task("segmentation").head.weight)  # so that all classes are everywhere
    _write_again(talkative / WEIGHTS_FILE, model, configuration)
    assert run(["predict", str(talkative), "--store", str(room / "store"), "-o", str(out)]) == EXIT_DONE
    assert run(["export", str(talkative), "-o", str(bundle), "--to", "monai"]) == EXIT_DONE
    path = max(out.glob("*.nii.gz"), key=lambda path: np.count_nonzero(nibabel.load(path).dataobj))  # type: ignore[attr-defined]
    predicted = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
    place, phase = divmod(int((predicted > 0).sum(axis=(0, 1)).argmax()), predicted.shape[3])
    reader = StoreReader(room / "store")
    row = np.flatnonzero(
        [bytes(key).hex() == path.name.partition(".")[0] for key in reader.column("stack_key")]
        & (reader.column("slice_index") == place)
        & (reader.column("phase_index") == phase)
    )
    scale, offset = (float(reader.column(f"image_{what}")[row[0]]) for what in ("scale", "offset"))
    image = reader.read("image", row)[0].astype(np.float32) * scale + offset
    nibabel.save(nibabel.Nifti1Image(image.T, np.eye(4)), tmp_path / "image.nii.gz")  # type: ignore[no-untyped-call]

    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "inference.json")
    parser["bundle_root"] = str(bundle)
    parser.get_parsed_content("load")
    given = parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "image.nii.gz")})
    with torch.no_grad():
        pred = parser.get_parsed_content("network").eval()(given["image"][None])[0]
    said = np.asarray(parser.get_parsed_content("postprocessing")({"pred": pred})["pred"])[0]

    predicted = predicted[:, :, place, phase]
    # The store's mean and standard deviation are rounded: a pixel between two classes may fall otherwise.
    assert np.mean(said == predicted) > 0.995
    assert np.mean(predicted == said.T) < 0.9


def test_images_of_another_view_than_was_learned_are_refused(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--protocol", "cardiac-4ch", "--size", "64", "--spacing-mm", "5", "--json"]
    truth = str(room / "export-truth" / "segmentations")
    store, output = str(tmp_path / "4ch"), tmp_path / "said"
    assert run(["import-labels", str(room / "catalogue"), truth, *grid, "-o", store]) in ROOMY
    capsys.readouterr()
    assert run(["predict", str(room / "run"), "--store", store, "-o", str(output)]) == EXIT_WRONG_USE
    assert "learned to segment SAX images, the store holds 4CH images" in capsys.readouterr().err
    assert not output.exists()
