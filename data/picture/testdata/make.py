"""Makes the pictures of this directory and, as NAME.png, what Pillow says they are in RGB; pillow.txt has their modes.

Usage: python make.py (Pillow 13.0.0 with libjpeg-turbo 3.2.0, and cjpeg of libjpeg-turbo 2.1.5, made the ones here). Everything
is drawn below; nothing is taken from elsewhere.
"""
import io
import math
import os
import struct
import subprocess
import tempfile

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 23, 17


def drawn(w=W, h=H):
    im = Image.new("RGB", (w, h))
    for y in range(h):
        for x in range(w):
            im.putpixel((x, y), (
                int(127 + 120 * math.sin(x / 3 + y / 5)), int(127 + 120 * math.cos(x / 5 - y / 2)), (x * 37 + y * 61) % 256))
    return im


rgb = drawn()
grey = rgb.convert("L")
rgba = rgb.copy()
rgba.putalpha(grey.transpose(Image.Transpose.ROTATE_180))
grey16 = Image.frombytes("I;16", (W, H), b"".join((v * v % 65536).to_bytes(2, "little") for v in range(W * H)))
palette = rgb.quantize(16)

made = []


def save(name, im, **options):
    path = os.path.join(HERE, name)
    im.save(path, **options)
    made.append(name)


def exif(orientation):
    e = Image.Exif()
    e[0x0112] = orientation
    return e


for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
    save("jpeg" + subsampling.replace(":", "") + ".jpg", rgb, subsampling=subsampling, quality=90)
save("jpeg420_progressive.jpg", rgb, subsampling="4:2:0", progressive=True)
save("jpeg420_narrow.jpg", drawn(4, 9), subsampling="4:2:0")
save("jpeg_rgb.jpg", rgb, keep_rgb=True)
save("jpeg_grey.jpg", grey)
save("jpeg_cmyk.jpg", rgb.convert("CMYK"))
save("jpeg_oriented.jpg", rgb, exif=exif(6))

# Pillow cannot write chroma halved downwards (4:4:0) or quartered across (4:1:1), but these have as many blocks in a unit as
# 4:2:2 and 4:2:0: with other factors and another size in the header, a file one unit wide is one of them. What it shows is
# scrambled.
def resampled(name, subsampling, size, factors, new_size):
    path = os.path.join(HERE, name)
    drawn(*size).save(path, subsampling=subsampling, quality=90)
    data = bytearray(open(path, "rb").read())
    at = data.index(b"\xff\xc0") + 5
    data[at:at + 4] = new_size[1].to_bytes(2, "big") + new_size[0].to_bytes(2, "big")
    data[at + 6] = factors
    open(path, "wb").write(data)
    made.append(name)


resampled("jpeg440.jpg", "4:2:2", (16, 16), 0x12, (7, 31))
resampled("jpeg411.jpg", "4:2:0", (16, 32), 0x41, (30, 15))

# YCCK: a CMYK file whose Adobe segment says that the first three components are YCbCr.
data = open(os.path.join(HERE, "jpeg_cmyk.jpg"), "rb").read()
at = data.index(b"Adobe") + 11
open(os.path.join(HERE, "jpeg_ycck.jpg"), "wb").write(data[:at] + b"\2" + data[at + 1:])
made.append("jpeg_ycck.jpg")

save("png1.png", rgb.convert("1"))
save("png_grey.png", grey)
save("png_grey_trns.png", grey, transparency=grey.getpixel((3, 3)))
save("png_grey16.png", grey16)
save("png_grey_alpha.png", rgba.convert("LA"))
save("png_rgb.png", rgb)
save("png_rgb_trns.png", rgb, transparency=rgb.getpixel((3, 3)))
save("png_rgba.png", rgba)
save("png_palette.png", palette)
save("png_palette4_trns.png", rgb.quantize(4), bits=2, transparency=bytes([0, 128, 255, 7]))
save("png_oriented.png", rgb, exif=exif(8))

save("webp_lossy.webp", rgb, quality=80)
save("webp_lossy_even.webp", drawn(24, 18), quality=80)
save("webp_lossy_alpha.webp", rgba, quality=80)
save("webp_lossless.webp", rgb, lossless=True)
save("webp_lossless_alpha.webp", rgba, lossless=True, exact=True)
save("webp_oriented.webp", rgb, lossless=True, exif=exif(3))

save("bmp1.bmp", rgb.convert("1"))
save("bmp_grey.bmp", grey)
save("bmp_rgb.bmp", rgb)
save("bmp_rgba.bmp", rgba)
save("bmp_palette.bmp", palette)

save("tiff1.tif", rgb.convert("1"))
save("tiff1_fax.tif", rgb.convert("1"), compression="group4")
save("tiff_grey_packbits.tif", grey, compression="packbits")
save("tiff_grey16.tif", grey16)
save("tiff_rgb.tif", rgb)
save("tiff_rgb_lzw.tif", rgb, compression="tiff_lzw")
save("tiff_rgba.tif", rgba)
save("tiff_palette_deflate.tif", palette, compression="tiff_adobe_deflate")
save("tiff_oriented.tif", rgb, exif=exif(6))

# Layouts that Pillow cannot write, by cjpeg: sampling factors, scans of one component, restart intervals in blocks and rows.
SCANS = {
    "one": "0;\n1;\n2;\n",
    "two": "0;\n1 2;\n",
    "fine": "0: 0-0, 0, 1;\n1: 0-0, 0, 0;\n2: 0-0, 0, 0;\n0: 1-5, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n0: 6-63, 0, 2;\n"
            "0: 1-63, 2, 1;\n0: 0-0, 1, 0;\n2: 1-63, 1, 0;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n",
}


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(data)
    made.append(name)


def cjpeg(im, *options, scans=None):
    ppm = io.BytesIO()
    im.save(ppm, "PPM")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        if scans:
            script.write(SCANS[scans])
            script.flush()
            options += ("-scans", script.name)
        return subprocess.run(["cjpeg", *options], input=ppm.getvalue(), stdout=subprocess.PIPE, check=True).stdout


wide = drawn(43, 35)
factors = {"420": "2x2", "422": "2x1", "440": "1x2", "411": "4x1", "mixed": "2x2,1x2,2x1", "chroma": "1x1,2x2,1x1"}
for sampling, restart in (("420", "1"), ("422", "1"), ("440", "2B"), ("411", "1B"), ("mixed", "1"), ("chroma", "3B")):
    sample = ("-sample", factors[sampling], "-quality", "80")
    write(f"jpeg{sampling}_restart.jpg", cjpeg(wide, *sample, "-restart", restart))
    write(f"jpeg{sampling}_progressive_restart.jpg", cjpeg(wide, *sample, "-progressive", "-restart", restart))
for scans in SCANS:
    sample = ("-sample", "2x2", "-quality", "80") + (("-progressive",) if scans == "fine" else ())
    write(f"jpeg420_scans_{scans}.jpg", cjpeg(wide, *sample, scans=scans))
    write(f"jpeg420_scans_{scans}_restart.jpg", cjpeg(wide, *sample, "-restart", "5B", scans=scans))
write("jpeg_grey_progressive_restart.jpg", cjpeg(wide, "-grayscale", "-progressive", "-restart", "1"))
save("jpeg_cmyk_restart.jpg", wide.convert("CMYK"), subsampling="4:2:0", restart_marker_blocks=2)
save("jpeg_cmyk_progressive_restart.jpg", wide.convert("CMYK"), progressive=True, restart_marker_blocks=2)


def restarts(data):
    return [i for i in range(len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]


# Restart markers that are missing, wrong or preceded by stray bytes.
for name in ("jpeg420_restart", "jpeg420_progressive_restart", "jpeg420_scans_fine_restart"):
    data = open(os.path.join(HERE, name + ".jpg"), "rb").read()
    at = restarts(data)
    write(name + "_missing.jpg", data[:at[0]] + data[at[0] + 2:])
    write(name + "_last_missing.jpg", data[:at[-1]] + data[at[-1] + 2:])
    write(name + "_wrong.jpg", data[:at[1] + 1] + bytes([(data[at[1] + 1] + 2) % 8 + 0xD0]) + data[at[1] + 2:])
    write(name + "_stray.jpg", data[:at[1]] + b"stray" + data[at[1]:])

# PNG files that are damaged only after their pixels.
data = open(os.path.join(HERE, "png_rgb.png"), "rb").read()
end = data.index(b"IEND")
write("png_no_end.png", data[:end - 4])
write("png_end_renamed.png", data[:end] + b"IENE" + data[end + 4:])
write("png_end_checksum.png", data[:end + 4] + b"\0\0\0\0")
write("png_pixels_checksum.png", data[:end - 8] + b"\0\0\0\0" + data[end - 4:])

turned = rgb.transpose(Image.Transpose.ROTATE_180)
save("gif_palette.gif", palette)
save("gif_interlaced.gif", rgb.quantize(200), interlace=1)
save("gif_two_colours.gif", rgb.quantize(2), interlace=0)
save("gif_grey.gif", grey)
save("gif_transparent.gif", palette, transparency=palette.getpixel((3, 3)))
save("gif_animated.gif", palette, save_all=True, append_images=[turned.quantize(16)])


def gif_on_screen(name, screen, offset, **options):
    """A picture at an offset on a screen of another size."""
    save(name, palette, **options)
    path = os.path.join(HERE, name)
    data = bytearray(open(path, "rb").read())
    at = 13 + 3 * (2 << (data[10] & 7))
    while data[at] == 0x21:  # extensions
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    data[6:10], data[at + 1:at + 5] = struct.pack("<HH", *screen), struct.pack("<HH", *offset)
    open(path, "wb").write(data)


gif_on_screen("gif_offset.gif", (31, 22), (3, 2))
gif_on_screen("gif_offset_transparent.gif", (31, 22), (3, 2), transparency=5)
gif_on_screen("gif_small_screen.gif", (4, 4), (1, 0))

save("webp_animated.webp", rgb, save_all=True, append_images=[turned], quality=80)
save("webp_animated_alpha.webp", rgba, save_all=True, append_images=[rgba.transpose(Image.Transpose.ROTATE_180)], quality=80)
save("webp_animated_lossless.webp", rgb, save_all=True, append_images=[turned], lossless=True)
for name in ("webp_animated", "webp_animated_alpha", "webp_animated_lossless"):  # on a larger canvas, at an offset
    data = bytearray(open(os.path.join(HERE, name + ".webp"), "rb").read())
    canvas, frame = data.index(b"VP8X") + 12, data.index(b"ANMF") + 8
    data[canvas:canvas + 6] = struct.pack("<I", W + 8)[:3] + struct.pack("<I", H + 6)[:3]
    data[frame:frame + 6] = struct.pack("<I", 2)[:3] + struct.pack("<I", 1)[:3]
    write(name + "_offset.webp", bytes(data))

with open(os.path.join(HERE, "pillow.txt"), "w") as out:
    for name in made:
        im = Image.open(os.path.join(HERE, name))
        im.load()
        out.write(f"{name} {im.mode} {im.width} {im.height} {im.getexif().get(0x0112, 1)}\n")
        im.convert("RGB").save(os.path.join(HERE, name + ".png"))
