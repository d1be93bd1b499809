"""Pictures of kinds that people send (tests/pictures), read by the demo model: header probe, price, grid and pixels agree."""
import io
import pathlib

import grpc
import pytest
from PIL import Image

import headroom_api as api

PICTURES = pathlib.Path(__file__).parents[1] / "pictures"
READABLE = sorted(path.name for path in PICTURES.iterdir() if path.suffix in (".jpg", ".png", ".gif"))


def answer(gateway, picture):
    return api.collect(gateway.Generate(api.ask("What does it say?", [picture], max_tokens=16)))


@pytest.mark.parametrize("name", READABLE)
def test_words_are_read(name, gateway):
    text, _ = answer(gateway, (PICTURES / name).read_bytes())
    assert text == "HOT TEA"


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "WEBP", "MPO"])
def test_words_are_read_in_other_formats(image_format, gateway):
    out = io.BytesIO()
    with Image.open(PICTURES / "upright.png") as image:
        image.convert("RGB").save(out, image_format)
    text, _ = answer(gateway, out.getvalue())
    assert text == "HOT TEA"


def test_a_turned_picture_is_priced_as_it_is_seen(gateway):
    """Widths and heights that make different grids: the stored one would be priced with other pieces."""
    def usage(size, orientation):
        out = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", size, (10, 200, 90)).save(out, "JPEG", exif=exif)
        return answer(gateway, out.getvalue())[1].usage
    turned, upright = usage((900, 300), 6), usage((300, 900), 1)
    assert turned.pieces == upright.pieces and turned.prompt_tokens == upright.prompt_tokens


def test_a_photo_of_48_megapixels(gateway):
    """As large as phones make them: decoded at half size, and priced as the picture of that size."""
    def usage(side):
        out = io.BytesIO()
        Image.new("RGB", (side, side * 3 // 4), "red").save(out, "JPEG", quality=85)
        text, finish = answer(gateway, out.getvalue())
        assert text
        return finish.usage
    large, half = usage(8064), usage(4032)
    assert (large.pieces, large.prompt_tokens) == (half.pieces, half.prompt_tokens)


def test_limits_name_their_key(gateway):
    out = io.BytesIO()
    Image.new("1", (8200, 8000)).save(out, "PNG")
    with pytest.raises(grpc.RpcError) as error:
        answer(gateway, out.getvalue())
    assert "image_pixels_max" in error.value.details()


@pytest.mark.parametrize("image_format", ["TIFF", "AVIF", "JPEG2000"])
def test_what_is_not_read_says_what_to_do(image_format, gateway):
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, image_format)
    with pytest.raises(grpc.RpcError) as error:
        answer(gateway, out.getvalue())
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "convert it to PNG or JPEG" in error.value.details()
