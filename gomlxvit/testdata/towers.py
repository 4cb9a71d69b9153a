"""Writes coca/ and mci/: tiny image towers with random weights, and what plain NumPy in float64 computes with them, written from
the descriptions of AttentionalPooler in open_clip 3.3.0 (transformer.py) and of ConvStem in timm 1.0.31 (vision_transformer_hybrid.py).

    pip install numpy safetensors && python towers.py
"""
import json
import math
import pathlib

import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(5)


def random(*shape, scale=0.3, shift=0.0):
    return (rng.normal(size=shape) * scale + shift).astype(np.float32)


def statistics(x, eps):
    return x.mean(-1, keepdims=True), np.sqrt(x.var(-1, keepdims=True) + eps)


def norm(x, w, name, eps):
    mean, std = statistics(x, eps)
    return (x - mean) / std * w[name + ".weight"] + w[name + ".bias"]


def linearised(c, x, w, name, eps):
    """The norm of x applied to a contribution c: its deviation is a constant, its shift another component's."""
    return (c - c.mean(-1, keepdims=True)) / statistics(x, eps)[1] * w[name + ".weight"]


gelu = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, heads):
    """Of [batch, token, dim]: weights [batch, head, query, key], and what each head reads [batch, head, query, headDim]."""
    split = lambda t: t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(0, 2, 1, 3)
    q, k, v = split(q), split(k), split(v)
    weights = softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1]))
    return weights, weights @ v


def convolve(x, kernel, stride):
    """A convolution [batch, in, h, w] without padding, position by position."""
    size = kernel.shape[-1]
    side = (x.shape[-1] - size) // stride + 1
    out = np.zeros((x.shape[0], kernel.shape[0], side, side))
    for i in range(side):
        for j in range(side):
            out[:, :, i, j] = np.einsum("bcyx,ocyx->bo", x[:, :, i * stride:i * stride + size, j * stride:j * stride + size], kernel)
    return out


def tokens_of(x):
    return x.reshape(x.shape[0], x.shape[1], -1).transpose(0, 2, 1)


def block(x, w, names, heads, eps):
    """x after a block, and the contributions of its heads and its MLP [.., batch, token, dim]."""
    d = x.shape[-1]
    n1, qkv_w, qkv_b, out, n2, fc1, fc2 = names
    qkv = norm(x, w, n1, eps) @ w[qkv_w].T + w[qkv_b]
    _, read = attention(qkv[..., :d], qkv[..., d:2 * d], qkv[..., 2 * d:], heads)
    size = d // heads
    per_head = np.stack([read[:, h] @ w[out + ".weight"][:, h * size:(h + 1) * size].T for h in range(heads)])
    x = x + per_head.sum(0) + w[out + ".bias"]
    mlp = gelu(norm(x, w, n2, eps) @ w[fc1 + ".weight"].T + w[fc1 + ".bias"]) @ w[fc2 + ".weight"].T
    return x + mlp + w[fc2 + ".bias"], per_head, mlp


def block_weights(w, names, d, hidden):
    n1, qkv_w, qkv_b, out, n2, fc1, fc2 = names
    for n in (n1, n2):
        w[n + ".weight"], w[n + ".bias"] = random(d, shift=1), random(d)
    w[qkv_w], w[qkv_b] = random(3 * d, d), random(3 * d)
    for name, rows, columns in ((out, d, d), (fc1, hidden, d), (fc2, d, hidden)):
        w[name + ".weight"], w[name + ".bias"] = random(rows, columns), random(rows)


def coca(embed, directory):
    side, patch, d, heads, pool_heads, queries, hidden, eps = 24, 8, 16, 2, 2, 3, 32, 1e-5
    v, p = "visual.", "visual.attn_pool."
    w = {v + "class_embedding": random(d), v + "positional_embedding": random(10, d), v + "conv1.weight": random(d, 3, patch, patch, scale=0.1),
         v + "proj": random(embed, embed), p + "query": random(queries, embed), p + "attn.in_proj_bias": random(3 * embed)}
    for n, size in ((v + "ln_pre", d), (v + "ln_post", embed), (p + "ln_q", embed), (p + "ln_k", d)):
        w[n + ".weight"], w[n + ".bias"] = random(size, shift=1), random(size)
    projections = [random(embed, embed), random(embed, d), random(embed, d)]
    if embed == d:
        w[p + "attn.in_proj_weight"] = np.concatenate(projections)
    else:
        for kind, projection in zip("qkv", projections):
            w[p + f"attn.{kind}_proj_weight"] = projection
    w[p + "attn.out_proj.weight"], w[p + "attn.out_proj.bias"] = random(embed, embed), random(embed)
    r = v + "transformer.resblocks.0."
    names = (r + "ln_1", r + "attn.in_proj_weight", r + "attn.in_proj_bias", r + "attn.out_proj", r + "ln_2", r + "mlp.c_fc", r + "mlp.c_proj")
    block_weights(w, names, d, hidden)

    pixels = random(2, 3, side, side, scale=1)
    x = tokens_of(convolve(pixels.astype(np.float64), w[v + "conv1.weight"], patch))
    x = np.concatenate([np.broadcast_to(w[v + "class_embedding"], (2, 1, d)), x], 1) + w[v + "positional_embedding"]
    init = x = norm(x, w, v + "ln_pre", eps)
    x, per_head, mlp = block(x, w, names, heads, eps)
    normed = norm(x, w, p + "ln_k", eps)
    bias = np.split(w[p + "attn.in_proj_bias"], 3)
    query = norm(w[p + "query"].astype(np.float64), w, p + "ln_q", eps) @ projections[0].T + bias[0]
    weights, read = attention(np.broadcast_to(query, (2, queries, embed)), normed @ projections[1].T + bias[1], normed @ projections[2].T + bias[2], pool_heads)
    out = read.transpose(0, 2, 1, 3).reshape(2, queries, embed) @ w[p + "attn.out_proj.weight"].T + w[p + "attn.out_proj.bias"]
    features = norm(out, w, v + "ln_post", eps)[:, 0] @ w[v + "proj"]

    def through(c):
        """What a contribution [batch, token, dim] to the last tokens adds to the features."""
        values = linearised(c, x, w, p + "ln_k", eps) @ projections[2].T
        values = values.reshape(2, -1, pool_heads, embed // pool_heads)
        pooled = np.einsum("bhn,bnhc->bhc", weights[:, :, 0], values).reshape(2, embed) @ w[p + "attn.out_proj.weight"].T
        return linearised(pooled, out[:, 0], w, v + "ln_post", eps) @ w[v + "proj"]

    to = HERE / directory
    to.mkdir(exist_ok=True)
    config = {"model_cfg": {"embed_dim": embed, "custom_text": True, "multimodal_cfg": {"layers": 1},
                            "vision_cfg": {"image_size": side, "layers": 1, "width": d, "head_width": d // heads, "patch_size": patch, "mlp_ratio": hidden / d,
                                           "attentional_pool": True, "attn_pooler_heads": pool_heads, "attn_pooler_queries": queries, "output_tokens": True},
                            "text_cfg": {"embed_cls": True, "output_tokens": True}}, "preprocess_cfg": {}}
    (to / "open_clip_config.json").write_text(json.dumps(config))
    save_file(w, to / "open_clip_model.safetensors")
    save_file({"input": pixels, "features": features.astype(np.float32), "attn_heads": np.stack([through(h) for h in per_head], 1).astype(np.float32)[None],
               "mlp": through(mlp).astype(np.float32)[None], "init": through(init).astype(np.float32)}, to / "io.safetensors")


def mci():
    side, d, heads, classes, eps = 48, 16, 2, 5, 1e-6
    w = {"cls_token": random(1, 1, d), "pos_embed": random(1, 9, d), "head.weight": random(classes, d), "head.bias": random(classes),
         "norm.weight": random(d, shift=1), "norm.bias": random(d)}
    pixels = random(2, 3, side, side, scale=1)
    x, channels = pixels.astype(np.float64), 3
    for i, (out, size) in enumerate(((d // 4, 4), (d // 4, 2), (d, 2))):
        name = f"patch_embed.backbone.{i}."
        w[name + "conv.weight"] = random(out, channels, size, size)
        x, channels = convolve(x, w[name + "conv.weight"], size), out
        each = lambda tensor: w[name + tensor].reshape(1, out, 1, 1)
        if i == 2:
            w[name + "conv.bias"] = random(out)
            x = x + each("conv.bias")
            break
        w[name + "bn.weight"], w[name + "bn.bias"] = random(out, shift=1), random(out)
        w[name + "bn.running_mean"], w[name + "bn.running_var"] = random(out), np.abs(random(out, shift=1))
        x = gelu((x - each("bn.running_mean")) / np.sqrt(each("bn.running_var") + 1e-5) * each("bn.weight") + each("bn.bias"))
    x = tokens_of(x) + w["pos_embed"]
    x = np.concatenate([np.broadcast_to(w["cls_token"][0], (2, 1, d)), x], 1)
    names = tuple("blocks.0." + n for n in ("norm1", "attn.qkv.weight", "attn.qkv.bias", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"))
    block_weights(w, names, d, 4 * d)
    x, _, _ = block(x, w, names, heads, eps)
    features = norm(x, w, "norm", eps)[:, 0]
    to = HERE / "mci"
    to.mkdir(exist_ok=True)
    (to / "config.json").write_text(json.dumps({"architecture": "vit_base_mci_224", "num_classes": classes,
                                                "model_args": {"img_size": side, "embed_dim": d, "depth": 1, "num_heads": heads, "num_classes": classes}}))
    save_file(w, to / "model.safetensors")
    save_file({"input": pixels, "features": features.astype(np.float32), "logits": (features @ w["head.weight"].T + w["head.bias"]).astype(np.float32)}, to / "io.safetensors")


coca(12, "coca")
coca(16, "coca_same_width")
mci()
