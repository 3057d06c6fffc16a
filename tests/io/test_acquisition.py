"""What a file says about its acquisition reaches the record and the methods text."""

import numpy as np
import tifffile

from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.io.foreign.czi import about_czi
from napari_genrecon.io.foreign.metadata import parsed_xml
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.record.methods import methods_text

OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument ID="Instrument:0">
<Microscope Manufacturer="Maker" Model="Stand 5"/>
<Detector ID="Detector:0" Model="Camera 9" Type="CMOS"/>
<Objective ID="Objective:0" LensNA="1.4" NominalMagnification="63" Immersion="Oil"/>
<Objective ID="Objective:1" LensNA="0.3"/></Instrument>
<Image ID="Image:0"><AcquisitionDate>2026-03-04T05:06:07</AcquisitionDate><InstrumentRef ID="Instrument:0"/>
<ObjectiveSettings ID="Objective:0" RefractiveIndex="1.515"/><ImagingEnvironment Temperature="37"/>
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="48" SizeY="40" SizeC="1" SizeZ="1" SizeT="1"
 PhysicalSizeX="0.1" PhysicalSizeY="0.1">
<Channel ID="Channel:0" Name="DNA" Fluor="DAPI" ExcitationWavelength="405" EmissionWavelength="450" PinholeSize="50"
 AcquisitionMode="LaserScanningConfocalMicroscopy"><DetectorSettings ID="Detector:0" Gain="2" Binning="1x1"/></Channel>
<TiffData/><Plane TheZ="0" TheT="0" TheC="0" ExposureTime="0.05"/></Pixels></Image></OME>"""


def written(path, ome=OME):
    image = np.random.default_rng(0).poisson(100, (40, 48)).astype("u2")
    tifffile.imwrite(path, image, description=ome.encode(), metadata=None)
    return path


def test_fields_are_read_where_the_file_has_them(tmp_path):
    found = open_image(written(tmp_path / "a.ome.tif")).about.acquisition
    assert found["microscope"] == "Maker Stand 5"
    assert found["objective"]["na"] == "1.4"
    assert found["objective"]["refractive_index"] == "1.515"
    assert found["detector"] == {"model": "Camera 9", "type": "CMOS", "gain": "2", "binning": "1x1"}
    assert found["channels"][0]["excitation"] == "405 nm"
    assert (found["exposure"], found["environment"]) == ("0.05 s", {"temperature": "37"})


def test_files_that_say_nothing_have_nothing(tmp_path):
    bare = OME[: OME.index("<Instrument ")] + OME[OME.index("<Image") :]
    for begin, end in (("<Acq", "<Pix"), ("<Channel", "</Channel>"), ("<Plane", "</Pix")):
        bare = bare[: bare.index(begin)] + bare[bare.index(end) + (len(end) if end == "</Channel>" else 0) :]
    assert open_image(written(tmp_path / "a.ome.tif", bare)).about.acquisition is None


def test_the_record_keeps_it_from_result_to_result(tmp_path, capsys):
    written(tmp_path / "a.ome.tif")
    assert main(["denoise", str(tmp_path / "a.ome.tif"), "-o", str(tmp_path / "b.ome.tif")]) == 0
    assert main(["denoise", str(tmp_path / "b.ome.tif"), "-o", str(tmp_path / "c.ome.tif")]) == 0
    first, second = (open_image(tmp_path / name).record["input"]["acquisition"] for name in ("b.ome.tif", "c.ome.tif"))
    assert first == second == open_image(tmp_path / "a.ome.tif").about.acquisition
    assert verify(tmp_path / "b.ome.tif") == []
    assert main(["methods", str(tmp_path / "b.ome.tif")]) == 0
    text = capsys.readouterr().out
    assert "objective NA 1.4, 63x, immersion Oil" in text
    assert "excitation 405 nm emission 450 nm pinhole 50 µm" in text


def test_layers_carry_it_into_the_records_of_their_results(tmp_path):
    from napari.components import ViewerModel

    from napari_genrecon.io.layers import layers_of
    from napari_genrecon.widgets import add_result

    image = open_image(written(tmp_path / "a.ome.tif"))
    data, keywords, _kind = layers_of(image)[0]
    viewer = ViewerModel()
    first = add_result(viewer, "denoise", viewer.add_image(data, **keywords))
    second = add_result(viewer, "upscale", first, noise=0)
    record = second.metadata["genrecon"]
    assert first.metadata["genrecon"]["input"]["acquisition"] == image.about.acquisition
    assert record["input"]["record"]["input"]["acquisition"] == image.about.acquisition
    assert "objective NA 1.4" in methods_text(record)


CZI = """<ImageDocument><Metadata><Information><Instrument><Microscopes><Microscope Name="Stand 7"/></Microscopes>
<Objectives><Objective Id="Objective:1" Name="Plan 63x"><LensNA>1.4</LensNA>
<NominalMagnification>63</NominalMagnification>
<Immersion>Oil</Immersion></Objective><Objective Id="Objective:2"><LensNA>0.3</LensNA></Objective></Objectives>
<Detectors><Detector Id="Detector:1" Name="Camera 9"><Type>CMOS</Type></Detector></Detectors></Instrument>
<Image><AcquisitionDateAndTime>2026-03-04T05:06:07</AcquisitionDateAndTime>
<ObjectiveSettings><ObjectiveRef Id="Objective:1"/></ObjectiveSettings><Dimensions><Channels>
<Channel Id="Channel:0" Name="DNA"><ExcitationWavelength>353</ExcitationWavelength>
<EmissionWavelength>465</EmissionWavelength><ExposureTime>150000000</ExposureTime></Channel>
</Channels></Dimensions></Image></Information></Metadata></ImageDocument>"""


def test_czi_states_it_in_its_own_xml(tmp_path):
    about = about_czi(Axes("YX"), parsed_xml(CZI, "it"), 1)
    assert about.acquisition == {
        "date": "2026-03-04T05:06:07",
        "microscope": "Stand 7",
        "objective": {"model": "Plan 63x", "na": "1.4", "magnification": "63", "immersion": "Oil"},
        "detector": {"model": "Camera 9", "type": "CMOS"},
        "exposure": "0.15 s",
        "channels": [{"name": "DNA", "excitation": "353 nm", "emission": "465 nm"}],
    }
    nothing = "<ImageDocument><Metadata><Information><Image/></Information></Metadata></ImageDocument>"
    assert about_czi(Axes("YX"), parsed_xml(nothing, "it"), 1).acquisition is None


def test_long_texts_are_cut(tmp_path):
    hostile = OME.replace("Stand 5", "x" * 100_000)
    assert len(open_image(written(tmp_path / "a.ome.tif", hostile)).about.acquisition["microscope"]) < 500
