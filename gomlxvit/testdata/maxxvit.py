"""Writes maxxvit/: tiny CoAtNets and MaxViTs of timm 1.0.31 with random weights, which have every option of its class MaxxVit that is
read, and what PyTorch computes with them in float64. Each component is followed through the shortcuts behind it, whose maxima take
what was largest, and the last norm at its actual deviation. Also maxxvit.json: of every architecture of that class the number of
parameters, and a hash of the names and shapes of its tensors.

    pip install timm==1.0.31 torch safetensors && python maxxvit.py
"""
import hashlib
import json
import pathlib

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers import LayerNorm2d
from timm.models.maxxvit import ConvNeXtBlock, MaxxVitBlock, MbConvBlock, TransformerBlock2d

HERE = pathlib.Path(__file__).parent
SIDE, CLASSES = 32, 3
SMALL = dict(img_size=SIDE, embed_dim=[8, 16, 16], depths=[1, 1, 2], stem_width=[6, 8], conv_expand_ratio=2.0, transformer_expand_ratio=2.0,
             transformer_dim_head=8, transformer_rel_pos_dim=6, transformer_partition_ratio=16)
COATNET, MAXVIT = dict(block_type=["C", "T", "T"]), dict(block_type=["M", "M", "M"])
CASES = {
    "paper": ("coatnet_0_224", COATNET | dict(head_hidden_size=10)),
    "nano": ("coatnet_nano_rw_224", COATNET | dict(stem_bias=True, conv_norm_eps=0.05, transformer_norm_eps=0.02)),
    "early": ("coatnet_1_rw_224", COATNET | dict(conv_pre_norm_act=False)),
    "scaled": ("coatnet_3_rw_224", COATNET),
    "bn": ("coatnet_bn_0_rw_224", COATNET | dict(transformer_pool_type="max")),
    "max": ("coatnet_rmlp_1_rw_224", COATNET),
    "rmlp": ("coatnet_rmlp_0_rw_224", COATNET),
    "mixed": ("coatnet_nano_cc_224", dict(block_type=["C", ["C", "T"], ["C", "T"]])),
    "next": ("coatnext_nano_rw_224", COATNET),
    "maxvit": ("maxvit_tiny_rw_224", MAXVIT | dict(conv_attn_ratio=0.1)),
    "maxvit_rmlp": ("maxvit_rmlp_base_rw_224", MAXVIT | dict(head_hidden_size=10, transformer_init_values=1e-6, conv_attn_ratio=0.1)),
    "maxxvit": ("maxxvit_rmlp_nano_rw_256", MAXVIT),
    "maxxvitv2": ("maxxvitv2_nano_rw_256", MAXVIT | dict(conv_stride_mode="pool", conv_output_bias=False, conv_init_values=0.0)),
    "tf": ("maxvit_tiny_tf_224", dict(block_type=["C", "M", ["C", "T"]], head_hidden_size=10)),
}


def randomise(model):
    """Weights with which every part matters and nothing grows."""
    for name, p in model.named_parameters():
        if p.ndim == 1 and name.endswith("weight") or "gamma" in name:
            torch.nn.init.normal_(p, 1.0, 0.3)
        elif p.ndim == 1 or "table" in name:
            torch.nn.init.normal_(p, 0.0, 0.5)
        else:
            torch.nn.init.normal_(p, 0.0, p[0].numel() ** -0.5)
    for name, b in model.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(b, 0.0, 0.3)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(b, 0.5, 1.5)


class Parts:
    """The components of a model's features, of one batch."""

    def __init__(self, model, pixels):
        self.model, self.seen = model, {}
        for name, module in model.named_modules():
            module.register_forward_hook(lambda _, inputs, output, name=name: self.seen.__setitem__(name, inputs[0]))
        self.logits = model(pixels)
        self.features = model.forward_features(pixels).mean((2, 3))
        self.blocks = [(f"stages.{s}.blocks.{i}", block) for s, stage in enumerate(model.stages) for i, block in enumerate(stage.blocks)]

    def last_norm(self, c):
        norm = self.model.norm
        if isinstance(norm, LayerNorm2d):
            x = self.seen["norm"]
            deviation = torch.sqrt(x.var(1, keepdim=True, unbiased=False) + norm.eps)
            return (c - c.mean(1, keepdim=True)) / deviation * norm.weight[:, None, None]
        if isinstance(norm, torch.nn.BatchNorm2d):
            return c * (norm.weight / torch.sqrt(norm.running_var + norm.eps))[:, None, None]
        return c

    def follow(self, c, order):
        """What c [batch, channel, row, column], in the stream before a block, adds to the features."""
        for name, block in self.blocks[order:]:
            if isinstance(block, MaxxVitBlock):
                name, block = name + ".conv", block.conv
            shortcut = block.shortcut
            if not hasattr(shortcut, "pool"):
                continue
            if isinstance(shortcut.pool, torch.nn.MaxPool2d):
                pooled, index = F.max_pool2d(self.seen[name + ".shortcut.pool"], 3, 2, 1, return_indices=True)
                c = c.flatten(2).gather(2, index.flatten(2)).view(pooled.shape)
            else:
                c = F.avg_pool2d(c, 2)
            if hasattr(shortcut.expand, "weight"):
                c = F.conv2d(c, shortcut.expand.weight)
        return self.last_norm(c).mean((2, 3))

    def linear(self, layer, x, scale, order):
        """What a last linear layer of a part makes of x, as maps or with channels last, without its bias."""
        weight = layer.weight.flatten(1)
        y = torch.einsum("bihw,oi->bohw", x, weight)
        if hasattr(scale, "gamma"):
            y = y * scale.gamma[:, None, None]
        return self.follow(y, order + 1)

    def attention(self, name, module, scale, order, as_map):
        merged, heads = as_map(self.seen[name + ".proj"]), module.num_heads
        size = merged.shape[1] // heads
        parts = []
        for h in range(heads):
            own = torch.zeros_like(merged)
            own[:, h * size:(h + 1) * size] = merged[:, h * size:(h + 1) * size]
            parts.append(self.linear(module.proj, own, scale, order))
        return torch.stack(parts, 1)

    def all(self):
        out = {"init": self.follow(self.seen["stages.0.blocks.0"], 0)}
        for order, (name, block) in enumerate(self.blocks):
            conv_name, conv = (name + ".conv", block.conv) if isinstance(block, MaxxVitBlock) else (name, block)
            if isinstance(conv, MbConvBlock):
                out[f"conv.{order}"] = self.linear(conv.conv3_1x1, self.seen[conv_name + ".conv3_1x1"], None, order)
            elif isinstance(conv, ConvNeXtBlock):
                out[f"conv.{order}"] = self.linear(conv.mlp.fc2, self.seen[conv_name + ".mlp.fc2"], conv.ls, order)
            if isinstance(block, TransformerBlock2d):
                out[f"attn_heads.{order}"] = self.attention(name + ".attn", block.attn, block.ls1, order, lambda x: x)
                out[f"mlp.{order}"] = self.linear(block.mlp.fc2, self.seen[name + ".mlp.fc2"], block.ls2, order)
            elif isinstance(block, MaxxVitBlock):
                for kind in ("block", "grid"):
                    part, sub = getattr(block, "attn_" + kind), f"{name}.attn_{kind}"
                    if part is None:
                        continue
                    side = self.seen[sub + ".norm1"].shape[1]
                    out[f"attn_heads.{order}.{kind}"] = self.attention(
                        sub + ".attn", part.attn, part.ls1, order, lambda x: ungrouped(x, part, side).permute(0, 3, 1, 2))
                    out[f"mlp.{order}.{kind}"] = self.linear(part.mlp.fc2, self.seen[sub + ".mlp.fc2"].permute(0, 3, 1, 2), part.ls2, order)
        out["const"] = self.features - sum(v.sum(1) if v.ndim == 3 else v for v in out.values())
        return out


def ungrouped(x, part, side):
    """Windows or grids [batch*group, row, column, channel] as maps [batch, row, column, channel]."""
    size = part.partition_size[0]
    along = side // size
    x = x.view(-1, along, along, size, size, x.shape[-1])
    x = x.permute(0, 1, 3, 2, 4, 5) if part.partition_block else x.permute(0, 3, 1, 4, 2, 5)
    return x.reshape(x.shape[0], side, side, x.shape[-1])


def write_cases():
    for case, (architecture, options) in CASES.items():
        torch.manual_seed(11)
        args = SMALL | options
        model = timm.create_model(architecture, num_classes=CLASSES, **args).eval()
        randomise(model)
        weights = {k: v.clone().contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        pixels = torch.randn(2, 3, SIDE, SIDE)
        parts = Parts(model.double(), pixels.double())
        out = {"input": pixels, "features": parts.features, "logits": parts.logits} | parts.all()
        if case in ("rmlp", "maxvit_rmlp"):
            larger = timm.create_model(architecture, num_classes=CLASSES, **(args | dict(img_size=2 * SIDE))).eval()
            larger.load_state_dict(model.state_dict())
            pixels = torch.randn(1, 3, 2 * SIDE, 2 * SIDE)
            out |= {"larger.input": pixels, "larger.logits": larger.double()(pixels.double())}
        folder = HERE / "maxxvit" / case
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / "model.safetensors")
        save_file({k: v.detach().float().contiguous() for k, v in out.items()}, folder / "io.safetensors")
        config = dict(architecture=architecture, num_classes=CLASSES, global_pool="avg", model_args=args, pretrained_cfg=dict(
            input_size=[3, SIDE, SIDE], fixed_input_size=True, interpolation="bicubic", crop_pct=1.0, mean=[0.5] * 3, std=[0.5] * 3))
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def write_architectures():
    lines = []
    for name in timm.list_models(module="maxxvit"):
        with torch.device("meta"):
            model = timm.create_model(name)
        tensors = [f"{k} {list(v.shape)}\n" for k, v in sorted(model.state_dict().items()) if not k.endswith("num_batches_tracked")]
        digest = hashlib.sha256("".join(tensors).encode()).hexdigest()
        lines.append(json.dumps([name, sum(p.numel() for p in model.parameters()), digest]))
    (HERE / "maxxvit.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


with torch.no_grad():
    write_cases()
    write_architectures()
