# Takes steps of CompAlign in PyTorch on demand, as many as lines arrive: python -c FILE PICTURES COMPONENTS DIM CLIP_DIM BATCH.
# First line out: the version. After each step: the two seconds it took, at lambda 1 and at lambda 0.
import sys
import time

import torch

pictures, components, dim, clip_dim, batch = map(int, sys.argv[1:6])
torch.manual_seed(0)
contributions = torch.empty(pictures, components, dim).uniform_(-1, 1)
targets = torch.nn.functional.normalize(torch.randn(pictures, clip_dim), dim=-1)
identity = torch.eye(clip_dim)


def training():
    weights = torch.nn.Parameter(0.02 * torch.randn(components, dim, clip_dim))
    bias = torch.nn.Parameter(0.02 * torch.randn(clip_dim))
    return weights, bias, torch.optim.Adam([weights, bias], lr=3e-4, weight_decay=1e-6)


def step(state, weight):
    weights, bias, optimizer = state
    chosen = torch.randint(pictures, (batch,))
    x, y = contributions[chosen], targets[chosen]
    optimizer.zero_grad()
    mapped = x.reshape(batch, -1) @ weights.reshape(-1, clip_dim) + bias
    loss = (1 - torch.nn.functional.cosine_similarity(mapped, y)).mean()
    if weight:
        gram = weights.transpose(1, 2) @ weights
        loss = loss + weight * clip_dim * (gram - identity).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


states = {1.0: training(), 0.0: training()}
for weight, state in states.items():
    step(state, weight)
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    seconds = []
    for weight, state in states.items():
        start = time.perf_counter()
        step(state, weight)
        seconds.append(time.perf_counter() - start)
    print(*seconds, flush=True)
