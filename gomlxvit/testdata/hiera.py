"""Writes hiera_abswin/: a tiny Hiera of timm 1.0.31 with random weights, of the kind whose positions are a map and a window and
whose stream is widened without a layer, and what PyTorch computes with it in float64. Each component is followed through the maxima,
which take what was largest, the means beside them, and the last norm at its actual deviation.

    pip install timm==1.0.31 torch safetensors && python hiera.py
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from timm.models.hiera import Hiera

ARGS = dict(img_size=96, embed_dim=8, num_heads=2, stages=(1, 2, 1, 2), mlp_ratio=2.0, abs_win_pos_embed=True, global_pos_size=(7, 7),
            init_values=1e-5, use_expand_proj=False)
HERE = pathlib.Path(__file__).parent / "hiera_abswin"

torch.manual_seed(7)
model = Hiera(num_classes=5, **ARGS).eval()
for name, p in model.named_parameters():
    torch.nn.init.normal_(p, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.3)
weights = {k: v.clone().contiguous() for k, v in model.state_dict().items()}
pixels = torch.randn(2, 3, 96, 96)

model = model.double()
seen = {}  # what entered each module


def watch(name):
    return lambda _, inputs, output: seen.__setitem__(name, (inputs[0], output))


for name, module in model.named_modules():
    module.register_forward_hook(watch(name))
with torch.no_grad():
    logits = model(pixels.double())
    features = model.forward_head(model.forward_features(pixels.double()), pre_logits=True)


def through_norm(c, name, norm):
    x = seen[name][0]
    deviation = torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + norm.eps)
    return (c - c.mean(-1, keepdim=True)) / deviation * norm.weight


def follow(c, first):
    """What c, in the stream before block first, [batch, token, dim], adds to the features."""
    for i in range(first, len(model.blocks)):
        block = model.blocks[i]
        if not block.do_expand:
            continue
        stride = block.attn.q_stride
        fours = lambda t: t.view(t.shape[0], stride, -1, t.shape[-1])
        largest = fours(seen[f"blocks.{i}"][0]).argmax(1, keepdim=True)
        c = torch.cat([fours(c).gather(1, largest).squeeze(1), fours(c).mean(1)], -1)
    return through_norm(c.mean(1), "head.norm", model.head.norm)


out = {"input": pixels, "features": features, "logits": logits, "init": follow(seen["blocks.0"][0], 0)}
with torch.no_grad():
    for i, block in enumerate(model.blocks):
        merged, heads = seen[f"blocks.{i}.attn.proj"][0], block.attn.heads
        parts = []
        for h in range(heads):
            own = torch.zeros_like(merged)
            size = merged.shape[-1] // heads
            own[..., h * size:(h + 1) * size] = merged[..., h * size:(h + 1) * size]
            parts.append(follow(own @ block.attn.proj.weight.T * block.ls1.gamma, i + 1))
        out[f"attn_heads.{i}"] = torch.stack(parts, 1)
        out[f"mlp.{i}"] = follow(seen[f"blocks.{i}.mlp.fc2"][0] @ block.mlp.fc2.weight.T * block.ls2.gamma, i + 1)

HERE.mkdir(exist_ok=True)
save_file(weights, HERE / "model.safetensors")
save_file({k: v.detach().float().contiguous() for k, v in out.items()}, HERE / "io.safetensors")
config = dict(architecture="hiera_small_abswin_256", num_classes=5, model_args=ARGS, pretrained_cfg=dict(
    input_size=[3, 96, 96], fixed_input_size=True, interpolation="bicubic", crop_pct=1.0, mean=[0.5] * 3, std=[0.5] * 3, num_classes=5))
(HERE / "config.json").write_text(json.dumps(config, indent=2) + "\n")
