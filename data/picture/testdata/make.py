"""Makes the pictures of this directory and, as NAME.png, what Pillow says they are in RGB; pillow.txt has their modes.

Usage: python make.py (Pillow 13.0.0 made the ones here). Everything is drawn below; nothing is taken from elsewhere.
"""
import math
import os

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

with open(os.path.join(HERE, "pillow.txt"), "w") as out:
    for name in made:
        im = Image.open(os.path.join(HERE, name))
        im.load()
        out.write(f"{name} {im.mode} {im.width} {im.height} {im.getexif().get(0x0112, 1)}\n")
        im.convert("RGB").save(os.path.join(HERE, name + ".png"))
