"""Image files of every kind: Pillow's own pixels, and bad files named."""

import io
import warnings

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
