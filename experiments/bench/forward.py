"""The other side of `vitdecompose bench --peer-python`: a forward pass of the same architecture in PyTorch.

Arguments: the architecture's name in timm, the batch size. Prints a line when ready, then one for each line read.
"""
import sys

import timm
import torch

name, batch = sys.argv[1], int(sys.argv[2])
model = timm.create_model(name.split(".")[0], pretrained=False).eval()
size = model.default_cfg["input_size"][-1]
pixels = torch.randn(batch, 3, size, size)
print(f"torch {torch.__version__.split('+')[0]}, timm {timm.__version__}, {torch.get_num_threads()} threads", flush=True)
with torch.inference_mode():
    for _ in sys.stdin:
        features = model.forward_head(model.forward_features(pixels))
        print("done", float(features.sum()), flush=True)
