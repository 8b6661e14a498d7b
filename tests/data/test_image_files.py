"""Image files of every kind: Pillow's own pixels, and bad files named."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from photographs import photograph, write
from PIL import Image

import keras_vicreg as kv


def test_damaged_files_are_named_counted_and_left_out(tmp_path):
    for number in range(4):
        write(tmp_path / f"{number}.jpg", photograph(number, (64, 64)), quality=95)
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8 no more than the first two bytes")
    with pytest.warns(UserWarning, match="Skipped 2 unreadable") as caught:
        images = kv.load_images(tmp_path)
    assert len(images) == 2
    message = str(caught[0].message)
    assert message.startswith("Skipped 2 unreadable image(s): '1.jpg' (")
    assert "truncated" in message
    assert "'2.jpg' (cannot identify" in message
    for number in (0, 3):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="Skipped 4"),
        pytest.raises(ValueError, match="4 images, none of them readable"),
    ):
        kv.load_images(tmp_path)


def test_every_kind_of_file_becomes_rgb(tmp_path):
    rgb = photograph()
    grey = rgb.convert("L")
    alpha = Image.fromarray(np.linspace(0, 255, 1200).astype("uint8").reshape(30, 40))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    deep = np.linspace(0, 65535, 1200).round().astype("uint16").reshape(30, 40)
    palette = rgb.quantize(64)
    expected = {}

    def add(name, image, pixels, **options):
        write(tmp_path / name, image, **options)
        pixels = np.asarray(pixels)
        expected[name] = np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels

    add("a_grey.png", grey, grey)
    add("b_one_bit.png", grey.convert("1"), np.asarray(grey.convert("1")) * 255)
    white = np.asarray(alpha)[..., None] / 255
    on_white = np.asarray(rgb) * white + 255 * (1 - white)
    add("c_alpha.png", rgba, on_white)
    add("d_sixteen_bits.png", Image.fromarray(deep), deep / 65535 * 255)
    frames = [photograph(9)]
    add(
        "e_animation.gif",
        palette,
        palette.convert("RGB"),
        append_images=frames,
        save_all=True,
    )
    add("f_lossless.webp", rgb, rgb, lossless=True)
    add("g_lossless_alpha.webp", rgba, on_white, lossless=True, exact=True)
    add("h_palette.png", palette, palette.convert("RGB"))
    see_through = palette.copy()
    hidden = np.asarray(palette) == 3
    pixels = np.where(hidden[..., None], 255, np.asarray(palette.convert("RGB")))
    add("i_palette_alpha.png", see_through, pixels, transparency=3)
    add("j_deep.tif", Image.fromarray(deep), deep / 65535 * 255)
    images = kv.load_images(tmp_path)
    assert images.dtype == np.uint8
    assert hidden.any()
    for image, (name, pixels) in zip(images, expected.items(), strict=True):
        error = np.abs(image - np.float64(pixels)).max()
        assert error <= 1, (name, error)


def test_files_of_unknown_range_are_left_out(tmp_path):
    write(tmp_path / "a.png", photograph())
    write(tmp_path / "b.tif", Image.fromarray(np.zeros((30, 40), "float32")))
    far = np.full((30, 40), 10**6, "int32")
    write(tmp_path / "c.tif", Image.fromarray(far))
    with pytest.warns(UserWarning, match=r"'b.tif' \(floating.*'c.tif' \(pixels outs"):
        assert len(kv.load_images(tmp_path)) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    upright = np.asarray(photograph())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(kv.load_images(tmp_path)[0], upright)


def test_mixed_sizes_need_an_image_size(tmp_path):
    write(tmp_path / "a.png", photograph(0, (40, 30)))
    write(tmp_path / "b.png", photograph(1, (50, 70)))
    with pytest.raises(
        ValueError, match=r"`image_size` must be given.*'a.png' of 30 x 40 px and 'b"
    ):
        kv.load_images(tmp_path)
    images = kv.load_images(tmp_path, image_size=20)
    boxes = [(5, 0, 35, 30), (0, 10, 50, 60)]
    for seed, (image, box) in enumerate(zip(images, boxes)):
        whole = photograph(seed, [(40, 30), (50, 70)][seed])
        expected = whole.resize((20, 20), Image.Resampling.BICUBIC, box)
        np.testing.assert_array_equal(image, np.asarray(expected))
    assert kv.load_images(tmp_path, image_size=(10, 24)).shape == (2, 10, 24, 3)
    for bad in (0, -3, 2.5, (8,), "32"):
        with pytest.raises(ValueError, match="`image_size` must be a positive integer"):
            kv.load_images(tmp_path, image_size=bad)


def test_a_large_jpeg_is_decoded_smaller_with_the_same_result(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype="uint8")
    large = Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC)
    write(tmp_path / "a.jpg", large, quality=95)
    image = kv.load_images(tmp_path, image_size=64)[0]
    with Image.open(tmp_path / "a.jpg") as whole:
        box = (200, 0, 1400, 1200)
        exact = np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC, box))
    error = np.abs(image - np.float64(exact))
    assert error.mean() < 1
    assert error.max() <= 6


def test_good_files_give_no_warning(labelled):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kv.load_images(labelled, image_size=8)


def test_bytes_decode_as_files_do():
    from keras_vicreg.data.image_files import decode_image

    buffer = io.BytesIO()
    photograph().save(buffer, "PNG")
    np.testing.assert_array_equal(
        decode_image(buffer.getvalue()), np.asarray(photograph())
    )


def tiff(pixels, bits, tags=()):
    """A grey TIFF file, uncompressed, of 12 or 16 bits."""
    height, width = pixels.shape
    data = pixels.astype("<u2").tobytes()
    if bits == 12:
        high, low = pixels[:, ::2].astype(int), pixels[:, 1::2].astype(int)
        packed = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], -1)
        data = packed.astype("uint8").tobytes()
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1}
    fields |= {278: height, 279: len(data), **dict(tags)}
    entries = [struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields)]
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def png(pixels):
    """An RGB PNG file of 16 bits a channel."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


TWELVE = np.linspace(0, 4095, 1200).round().astype("uint16").reshape(30, 40)
PGM = b"P5 40 30 4095\n" + TWELVE.astype(">u2").tobytes()


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tif", tiff(TWELVE, 12)),
        ("a.tif", tiff(TWELVE, 16, {281: 4095})),
        ("a.pgm", PGM),
    ],
)
def test_the_range_is_what_the_file_says(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = kv.load_images(tmp_path)[0]
    expected = np.stack([TWELVE / 4095 * 255] * 3, -1)
    assert np.abs(image - expected).max() <= 1
    assert len(np.unique(image)) == 256


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tif", tiff(TWELVE, 16)),
        ("a.tif", tiff(TWELVE, 16, {281: 4000})),  # the highest value, not the range
        ("a.png", png(np.stack([TWELVE] * 3, -1))),
    ],
)
def test_a_range_that_is_not_said_is_named_and_never_stretched(tmp_path, name, content):
    for number in range(2):
        (tmp_path / f"{number}{name}").write_bytes(content)
    with pytest.warns(UserWarning, match="16-bit images, '0a.*end at 4,095") as caught:
        images = kv.load_images(tmp_path)
    assert len(caught) == 1
    expected = np.stack([TWELVE / 257] * 3, -1)
    assert np.abs(images - expected).max() <= 1
    # Beside one that is bright, a dark one is dark.
    write(tmp_path / "b.png", Image.fromarray(TWELVE * 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(kv.load_images(tmp_path)) == 3


def test_a_picture_of_sixteen_bits_in_memory_is_looked_at_too():
    with pytest.warns(UserWarning, match="16-bit images end at 4,095 of 65,535"):
        kv.load_images([Image.fromarray(TWELVE)])
