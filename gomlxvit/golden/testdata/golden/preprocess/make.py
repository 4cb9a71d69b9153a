"""Draws the pictures of this directory and writes what the transforms of preprocess.json make of them, io.safetensors.gz.

Usage: python make.py                    draws and writes
       python make.py --tensors          writes the tensors of the pictures that are here, and draws nothing
       python make.py --check DIRECTORY  compares the transforms below with the tensors of another such directory, written by
                                         timm and open_clip themselves
       python make.py --check DIRECTORY MODELS
                                         compares with the transformers library too: each folder in MODELS has the
                                         preprocessor_config.json of a model and an io.safetensors with what became of
                                         striped_ball.png of DIRECTORY

Pillow 13.0.0 and numpy 2.4.6 made the ones here. Everything is drawn below; nothing is taken from elsewhere.
"""
import gzip
import json
import math
import os
import struct
import sys

import numpy as np
from PIL import Image, ImageCms, ImageDraw

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = json.load(open(os.path.join(HERE, "preprocess.json")))

# --- pictures ---


def grid(w, h):
    """Coordinates of the pixels' centres, x and y in [0, 1)."""
    return np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h)


def bytes_of(*channels):
    return np.clip(np.rint(np.stack(channels, -1)), 0, 255).astype(np.uint8)


def blocks(w, h, side, seed):
    """Random colours in blocks of side pixels: edges that bicubic weights overshoot at."""
    rng = np.random.RandomState(seed)
    small = rng.randint(0, 256, ((h + side - 1) // side, (w + side - 1) // side, 3))
    return np.repeat(np.repeat(small, side, 0), side, 1)[:h, :w].astype(float)


def landscape(w, h):
    """Colours that change slowly, with blocks of three sizes over them that grow fainter."""
    x, y = grid(w, h)
    base = np.stack([255 * x, 255 * (1 - y), 127 + 120 * np.sin(9 * x + 5 * y)], -1)
    for side, part, seed in ((17, 0.3, 1), (5, 0.2, 2), (1, 0.12, 3)):
        base = (1 - part) * base + part * blocks(w, h, side, seed)
    return Image.fromarray(bytes_of(*np.moveaxis(base, -1, 0)))


def zone_plate(w, h):
    """Rings of every frequency, saturated: what antialiasing is for."""
    x, y = grid(w, h)
    r = ((x - 0.5) * w) ** 2 + ((y - 0.5) * h) ** 2
    return Image.fromarray(bytes_of(255 * (np.sin(r / 60) > 0), 127.5 + 160 * np.sin(r / 90), 255 * (np.cos(r / 130) > 0.3)))


def polygons(w, h):
    """Flat colours with sharp, slanted edges on white."""
    im = Image.new("RGB", (w, h), "white")
    draw = ImageDraw.Draw(im)
    rng = np.random.RandomState(4)
    for _ in range(40):
        x, y, r = int(rng.randint(w)), int(rng.randint(h)), int(rng.randint(4, w // 4))
        colour = tuple(int(v) for v in rng.randint(0, 256, 3))
        corners = [(x + r * math.cos(2 * math.pi * k / 5 + x), y + r * math.sin(2 * math.pi * k / 5 + x)) for k in range(5)]
        if r % 2:
            draw.polygon(corners, fill=colour)
        else:
            draw.ellipse((x - r, y - r // 2, x + r, y + r // 2), fill=colour, outline="black")
    return im


def stripes(w, h):
    """Black and coloured stripes, thin at the top, on a slope of grey."""
    x, y = grid(w, h)
    on = np.sin(2 * np.pi * 40 * (y + 0.15 * x) ** 1.7) > 0.2
    return Image.fromarray(bytes_of(*(np.where(on, a, 40 + 200 * x) for a in (10, 200 * y, 255 - 120 * x))))


def srgb_profile():
    """An ICC profile, which neither library looks at, without the date of the day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def draw():
    def save(name, im, **options):
        im.save(os.path.join(HERE, name), **options)

    profile = srgb_profile()
    save("landscape.png", landscape(300, 220), icc_profile=profile, optimize=True)
    save("polygons.png", polygons(300, 226), optimize=True)
    save("zone_plate.png", zone_plate(293, 220), optimize=True)
    save("portrait.png", stripes(220, 300), optimize=True)
    save("grey.png", landscape(150, 110).convert("L"), icc_profile=profile, optimize=True)
    rgba = polygons(140, 120)
    x, y = grid(140, 120)
    alpha = np.where(x < 0.2, 0, np.where(x > 0.8, 255, 127 + 127 * np.sin(20 * x * y))) - 40 * (blocks(140, 120, 3, 5)[..., 0] > 200)
    rgba.putalpha(Image.fromarray(bytes_of(alpha)[..., 0]))
    save("rgba.png", rgba, optimize=True)
    save("palette.png", polygons(130, 110).quantize(64, dither=Image.Dither.NONE), optimize=True)
    x, y = grid(120, 100)  # mostly above 255, which is white in RGB, and on the left partly below
    grey16 = np.where(x < 0.4, 500 * y * (0.5 + x), 300 + 59000 * x * y).astype("<u2")
    save("grey16.png", Image.fromarray(grey16), optimize=True)
    save("cmyk.jpg", landscape(160, 120).convert("CMYK"), quality=90)
    exif = Image.Exif()
    exif[274] = 6  # orientation: to be turned, which neither library does
    save("exif_rotated.jpg", polygons(160, 120), quality=90, exif=exif)
    save("small_upscale.png", landscape(40, 30), icc_profile=profile, optimize=True)


# --- transforms ---


def shortest(im, size, filter):
    """torchvision's Resize to an integer: the shorter side becomes size, the other one int(size * long / short)."""
    w, h = im.size
    if w <= h:
        return im.resize((size, int(size * h / w)), filter)
    return im.resize((int(size * w / h), size), filter)


def centre(im, size):
    """torchvision's CenterCrop: Python's rounding, half to even."""
    w, h = im.size
    left, top = int(round((w - size) / 2)), int(round((h - size) / 2))
    return im.crop((left, top, left + size, top + size))


def normalised(im, mean, std):
    """ToTensor and Normalize: every step in float32. [3, height, width]"""
    x = np.asarray(im, np.uint8).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return (x - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]


def apply(transform, im):
    """timm's transform for evaluation or open_clip's image_transform; the latter makes RGB of what is none after the crop."""
    size = transform.get("resize_shortest_to", transform["size"])
    im = centre(shortest(im, size, Image.Resampling.BICUBIC), transform["size"])
    return normalised(im.convert("RGB"), transform["mean"], transform["std"])


def processed(config, im):
    """What the Pillow backend of the transformers library makes of a picture."""
    size, filter = config["size"], Image.Resampling(config["resample"])
    im = im.convert("RGB")
    if "shortest_edge" in size:
        im = shortest(im, size["shortest_edge"], filter)
    else:
        im = im.resize((size["width"], size["height"]), filter)
    if config.get("do_center_crop"):
        side = config["crop_size"]["height"]  # rounds down, unlike torchvision
        left, top = (im.width - side) // 2, (im.height - side) // 2
        im = im.crop((left, top, left + side, top + side))
    x = (np.asarray(im, np.uint8).transpose(2, 0, 1).astype(np.float64) * config["rescale_factor"]).astype(np.float32)
    return (x - np.float32(config["image_mean"])[:, None, None]) / np.float32(config["image_std"])[:, None, None]


def tensors(spec, directory):
    out = {}
    for entry in spec["tensors"]:
        im = Image.open(os.path.join(directory, entry["file"]))
        if im.mode != entry["source_mode"]:
            raise SystemExit(f"{entry['file']} is {im.mode}, not {entry['source_mode']}")
        if im.mode != "RGB" or im.format != "PNG":
            out[entry["file"] + "/decoded_rgb_u8_hwc"] = np.asarray(im.convert("RGB"))
        if not entry["converted_to_rgb_before"].startswith("no"):
            im = im.convert("RGB")
        out[entry["tensor"]] = apply(spec["transforms"][entry["transform"]], im)
    first = Image.open(os.path.join(directory, spec["tensors"][0]["file"])).convert("RGB")
    out["debug/resized_shortest_u8_hwc"] = np.asarray(shortest(first, 64, Image.Resampling.BICUBIC))
    for name, file in spec.get("processors", {}).items():
        config = json.load(open(os.path.join(directory, "..", "..", "golden2", name, "preprocessor_config.json")))
        out[name + "/pixel_values"] = processed(config, Image.open(os.path.join(directory, file)))
    return out


# --- files ---


def write(path, arrays):
    header, data = {}, b""
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        kind = {"float32": "F32", "uint8": "U8"}[a.dtype.name]
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(gzip.compress(struct.pack("<Q", len(text)) + text + data, 9, mtime=0))


def read(path):
    content = open(path, "rb").read()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    types = {"F32": "<f4", "U8": "u1", "I64": "<i8"}
    return {
        name: np.frombuffer(content[start + t["data_offsets"][0]:start + t["data_offsets"][1]], types[t["dtype"]]).reshape(t["shape"])
        for name, t in header.items() if t["dtype"] in types
    }


def check(directory, models=None):
    spec = json.load(open(os.path.join(directory, "preprocess.json")))
    want, got = read(os.path.join(directory, "io.safetensors")), tensors(spec, directory)
    if want.keys() != got.keys():
        raise SystemExit(f"other tensors: {sorted(want.keys() ^ got.keys())}")
    different = 0
    for name in sorted(want):
        if want[name].dtype != got[name].dtype or want[name].shape != got[name].shape or want[name].tobytes() != got[name].tobytes():
            different += 1
            print(name, want[name].shape, got[name].shape, np.abs(want[name].astype(float) - got[name]).max())
    print(f"{len(want)} tensors, {different} differ")
    for name in sorted(os.listdir(models)) if models else ():
        path = os.path.join(models, name, "preprocessor_config.json")
        if not os.path.exists(path):
            continue
        config, io = json.load(open(path)), read(os.path.join(models, name, "io.safetensors"))
        for key in ("photo_pixel_values_pil", "photo_pixel_values"):
            if key in io:
                x = processed(config, Image.open(os.path.join(directory, "striped_ball.png")))
                d = np.abs(io[key][0].astype(float) - x) * 255 * np.float64(config["image_std"])[:, None, None]
                print(f"{name} {key}: worst {d.max():.2g} steps of 8 bits, equal {io[key][0].tobytes() == x.tobytes()}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(*sys.argv[2:])
    else:
        if sys.argv[1:] != ["--tensors"]:
            draw()
        write(os.path.join(HERE, "io.safetensors.gz"), tensors(SPEC, HERE))
