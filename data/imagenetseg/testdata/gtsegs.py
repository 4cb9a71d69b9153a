"""Makes gtsegs.mat, a small file laid out as gtsegs_ijcv.mat is: python gtsegs.py gtsegs.mat (h5py 3.16, HDF5 2.0).

MATLAB writes its version 7.3 files with the HDF5 library as well: 512 bytes of its own, then a file of the library's oldest
format, in which cells are references to what lies under /#refs#. Arrays come with their axes in reverse. The pixels follow
formulas that the test knows. Pictures differ in how their bytes are stored.
"""

import sys

import h5py
import numpy as np

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 2015 HDF5 schema 1.00 ."

# Name, WNID, height, width, how the picture is stored.
PICTURES = [
    ("n01440764_10026", "n01440764", 7, 10, {}),
    ("n02123394_7", "n02123394", 10, 7, {"chunks": (3, 7, 10), "compression": 3}),
    # 105 pieces, for which one node of the index is not enough; they hang over the edges.
    ("n15075141_99", "n15075141", 9, 13, {"chunks": (1, 2, 2), "compression": 3, "shuffle": True}),
    ("n00007846_1", "n00007846", 5, 6, {"chunks": (3, 6, 5), "compression": 3}),
]


def text(group, name, value):
    """A char array, [1, n] in MATLAB."""
    units = np.frombuffer(value.encode("utf-16-le"), np.uint16).reshape(-1, 1)
    dataset = group.create_dataset(name, data=units)
    dataset.attrs["MATLAB_class"] = np.bytes_("char")
    dataset.attrs["MATLAB_int_decode"] = np.int32(2)
    return dataset.ref


def cells(group, name, references):
    """A cell array, [1, n] in MATLAB."""
    dataset = group.create_dataset(name, (len(references), 1), h5py.ref_dtype)
    for i, reference in enumerate(references):
        dataset[i, 0] = reference
    dataset.attrs["MATLAB_class"] = np.bytes_("cell")
    return dataset.ref


def main(path):
    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        refs = file.create_group("#refs#")
        value = file.create_group("value")
        value.attrs["MATLAB_class"] = np.bytes_("struct")
        columns = {"gt": [], "id": [], "img": [], "target": []}
        for i, (name, wnid, height, width, storage) in enumerate(PICTURES):
            y, x, c = np.mgrid[:height, :width, :3]
            pixels = ((37 * i + 11 * y + 5 * x + 100 * c) % 256).astype(np.uint8)
            mask = ((x + 2 * y + i) % 5 == 0)[..., 0].astype(np.uint8)
            picture = refs.create_dataset(f"img{i}", data=pixels.transpose(2, 1, 0), **storage)
            picture.attrs["MATLAB_class"] = np.bytes_("uint8")
            masks = []
            for k, m in enumerate([mask, 1 - mask][: 1 + i % 2]):  # some have a second outline
                dataset = refs.create_dataset(f"gt{i}_{k}", data=m.T, chunks=(width, height), compression=3)
                dataset.attrs["MATLAB_class"] = np.bytes_("uint8")
                masks.append(dataset.ref)
            columns["img"].append(picture.ref)
            columns["gt"].append(cells(refs, f"gt{i}", masks))
            columns["id"].append(text(refs, f"id{i}", name))
            columns["target"].append(text(refs, f"target{i}", wnid))
        for name, references in columns.items():
            cells(value, name, references)
    with open(path, "r+b") as file:
        block = HEADER.ljust(116) + bytes(8) + b"\x00\x02IM"
        file.write(block)


main(sys.argv[1])
