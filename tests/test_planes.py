"""Pictures as luma and chroma: the colours are those of the video, whatever its size and levels."""

import cv2
import numpy as np
import pytest

from fer_core.planes import NO_COLOUR, Planes, bytes_of_video
from fer_core.records import Segment
from fer_core.video import Sampler, find_ffmpeg
from tests.clips import LIMITS, ffmpeg, look

# Blue-green-red; BT.601 and BT.709 differ most in the last two.
PATCHES = np.array([[[255, 255, 255], [0, 0, 0], [128, 128, 128], [40, 60, 200], [60, 180, 40]]])
PATCH_PX = 32
LEAST_PX = 4
"""Around each patch, where chroma of half the size mixes it with its neighbours."""

CODED = {
    "bt601": ("scale=out_color_matrix=bt601:out_range=tv,format=yuv420p", ()),
    "bt601 said": (
        "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p",
        ("-colorspace", "smpte170m"),
    ),
    "bt709": (
        "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
        ("-colorspace", "bt709"),
    ),
    "all levels": (
        "scale=out_color_matrix=bt601:out_range=pc,format=yuvj420p",
        ("-color_range", "pc"),
    ),
    "no subsampling": ("scale=out_color_matrix=bt601:out_range=tv,format=yuv444p", ()),
    "ten bits": (
        "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p10le",
        ("-colorspace", "bt709"),
    ),
}


def patches() -> np.ndarray:
    return np.repeat(np.repeat(PATCHES, PATCH_PX, 0), PATCH_PX, 1).astype(np.uint8)


def middles(image: np.ndarray, px: int = PATCH_PX) -> np.ndarray:
    """Return each patch's mean colour, away from its edges."""
    parts = np.split(image[LEAST_PX:-LEAST_PX], len(PATCHES[0]), axis=1)
    return np.array([part[:, LEAST_PX:-LEAST_PX].mean(axis=(0, 1)) for part in parts])


@pytest.mark.parametrize("coded", CODED)
def test_a_video_s_colours_are_those_that_were_filmed(coded, tmp_path):
    cv2.imwrite(str(tmp_path / "patches.png"), patches())
    path = tmp_path / "patches.mp4"
    filters, said = CODED[coded]
    given = ("-loop", "1", "-i", tmp_path / "patches.png", "-t", "2", "-vf", filters)
    ffmpeg(*given, *said, "-c:v", "libx264", "-crf", "4", path)
    info = look(path)
    assert info.matrix == ("bt709" if "bt709" in said else "bt601")
    with Sampler(info, Segment(0, 0, None), 1, find_ffmpeg(None), LIMITS) as frames:
        planes = next(iter(frames)).planes
    assert np.abs(middles(planes.image()) - PATCHES[0]).max() <= 4
    # What has no colour has the same grey in every coding.
    assert np.abs(middles(planes.grey[..., None])[:3, 0] - [255, 0, 128]).max() <= 2


@pytest.mark.parametrize("size_px", [(1, 1), (2, 3), (7, 5), (64, 36)])
def test_odd_sizes_have_chroma_for_their_last_row_and_column(size_px):
    width, height = size_px
    data = np.full(bytes_of_video(size_px), NO_COLOUR, np.uint8)
    assert len(data) == width * height + 2 * -(-width // 2) * -(-height // 2)
    data[: width * height] = 235
    planes = Planes.of_video(data, size_px, "bt709")
    assert planes.size_px == size_px
    assert (planes.grey == 255).all()
    assert planes.image().shape == (height, width, 3)
    assert (planes.image() == 255).all()


@pytest.mark.parametrize(("luma", "grey"), [(0, 0), (16, 0), (126, 128), (235, 255), (255, 255)])
def test_levels_beyond_those_of_video_are_black_or_white(luma, grey):
    data = np.full(bytes_of_video((4, 4)), NO_COLOUR, np.uint8)
    data[:16] = luma
    assert (Planes.of_video(data, (4, 4), "bt601").grey == grey).all()


def test_a_picture_in_colours_comes_back():
    image = patches()
    planes = Planes.of_image(image)
    assert np.array_equal(planes.grey, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    assert np.abs(planes.image().astype(int) - image).max() <= 2


def test_a_smaller_picture_is_the_mean_of_what_it_shows():
    image = patches()
    small = Planes.of_image(image).image((image.shape[1] // 4, image.shape[0] // 4))
    exact = cv2.resize(image, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - exact).max() <= 2


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_only_a_colour_picture_of_bytes_is_taken(image):
    with pytest.raises(ValueError, match="uint8"):
        Planes.of_image(image)
