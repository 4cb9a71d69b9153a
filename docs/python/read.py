import json, numpy as np, pandas as pd
from safetensors import safe_open

with safe_open("parts.safetensors", framework="numpy") as f:     # decompose photo.jpg --out parts.safetensors
    components, parts = json.loads(f.metadata()["components"]), f.get_tensor("contributions")  # [component, picture, dim]
    print(len(components), "components sum to the representation up to", abs(parts.sum(0) - f.get_tensor("representation")).max())

rows = pd.read_parquet("tables/contributions")                   # cache export STORE --format parquet --out tables
print(rows.assign(norm=rows.contribution.map(np.linalg.norm)).groupby("component", observed=True).norm.mean())

result = json.load(open("results/ablation/result.json"))         # run ablation
print(pd.json_normalize(result["result"]["curves"], "from_init", "model"))
