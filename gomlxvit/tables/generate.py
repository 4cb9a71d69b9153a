"""Writes timm.jsonl and open_clip.jsonl from the sources of timm and open_clip, which are parsed and not run.

    pip install --no-deps timm open_clip_torch && python generate.py
"""
import ast
import importlib.util
import json
import pathlib

# How a row names the class that an entry point builds, by the function that it calls.
FAMILIES = {
    ("vision_transformer", "_create_vision_transformer"): "vit",
    ("deit", "_create_deit"): "vit",
    ("swin_transformer", "_create_swin_transformer"): "swin",
    ("swin_transformer_v2", "_create_swin_transformer_v2"): "swinv2",
    ("eva", "_create_eva"): "eva",
    ("beit", "_create_beit"): "beit",
    ("hiera", "_create_hiera"): "hiera",
    ("maxxvit", "_create_maxxvit"): "maxxvit",
}
def where(package):
    return pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])


def value(node):
    """The value of an argument: numbers, texts and lists as they are, classes by name, partials as objects."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, (ast.Tuple, ast.List)):
        return [value(e) for e in node.elts]
    if isinstance(node, ast.Call):
        called, arguments = value(node.func), {k.arg: value(k.value) for k in node.keywords}
        if called == "partial":
            return {"name": value(node.args[0]), **arguments}
        if called == "dict":
            return arguments
        if called == "pop":  # kwargs.pop(name, default)
            return value(node.args[1])
        return {called: arguments}  # what a function makes, which is not run
    return eval(compile(ast.Expression(node), "", "eval"), {})


def entry_points(tree):
    """Names of models with the call that builds them and the arguments that it passes on."""
    for f in tree.body:
        if not isinstance(f, ast.FunctionDef) or not any(getattr(d, "id", "") == "register_model" for d in f.decorator_list):
            continue
        known, call = {}, None
        for node in f.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("model_args", "model_kwargs"):
                known = value(node.value)
        for node in ast.walk(f):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("_create"):
                call = node
        for k in call.keywords:
            if k.arg and k.arg not in ("pretrained", "pretrained_strict"):
                known = {k.arg: value(k.value), **known}
        yield f.name, call.func.id, known


# What a configuration says of pictures and classes, by the names of our tables.
PICTURES = ("input_size", "num_classes", "mean", "std", "interpolation", "crop_pct", "crop_mode")


def constants(package, *path):
    """The numbers that the library has names for, such as IMAGENET_DEFAULT_MEAN."""
    out = {}
    for node in ast.parse(where(package).joinpath(*path).read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Tuple, ast.Constant)):
            out[node.targets[0].id] = value(node.value)
    return out


def pictures(node, numbers):
    """A value of a configuration, with the library's names for numbers resolved."""
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.Call):
        return [pictures(e, numbers) for e in node.args[0].elts]
    return value(node)


def configurations(tree):
    """What each tag's default_cfg says of pictures and classes."""
    out = {}
    defaults = {}
    numbers = constants("timm", "data", "constants.py")
    for f in tree.body:
        if isinstance(f, ast.FunctionDef) and f.name.endswith("_cfg"):
            for node in ast.walk(f):
                if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
                    defaults[f.name] = {k.value: pictures(v, numbers) for k, v in zip(node.value.keys, node.value.values)
                                        if k is not None and k.value in PICTURES}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and node.keys and all(isinstance(k, ast.Constant) for k in node.keys):
            for key, call in zip(node.keys, node.values):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in defaults:
                    cfg = {k.arg: k.value for k in call.keywords}
                    says = defaults[call.func.id] | {k: pictures(v, numbers) for k, v in cfg.items() if k in PICTURES}
                    says = dict(img_size=says.pop("input_size")[1], num_classes=says.pop("num_classes")) | says
                    names = [key.value]
                    if "notes" in cfg and "quickgelu" in ast.unparse(cfg["notes"]):  # timm adds these in a loop
                        names.append(key.value.replace("_clip_", "_clip_quickgelu_"))
                    for name in names:
                        architecture, _, tag = name.partition(".")
                        if not any(k in cfg and ast.unparse(cfg[k]) != "''" for k in ("url", "hf_hub_id")):
                            tag = ""  # there are no weights
                        out.setdefault(architecture, []).append((tag, says))
    return out


def pretrained():
    """What open_clip lists of trained weights: by model and tag where they are and how pictures are prepared."""
    tree = ast.parse((where("open_clip") / "pretrained.py").read_text())
    numbers = constants("open_clip", "constants.py")
    usual, named, out = {}, {}, {}

    def entry(call):
        says = dict(usual[call.func.id])
        says.update({k.arg: pictures(k.value, numbers) for k in call.keywords})
        hub, url = says.pop("hf_hub").strip("/"), says.pop("url")
        return {"hub": "/".join(hub.split("/")[:2]), "quick_gelu": says.pop("quick_gelu", False), "url": "" if hub else url} | says

    def tags(node):
        return named[node.id] if isinstance(node, ast.Name) else {k.arg: entry(k.value) for k in node.keywords}

    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.endswith("cfg") and node.name.startswith("_"):
            made = node.body[-1].value
            usual[node.name] = {"url": "", "hf_hub": ""} | {
                k.value: pictures(v, numbers) for k, v in zip(made.keys, made.values) if k is not None and k.value not in ("url", "hf_hub")}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "dict":
            named[node.targets[0].id] = tags(node.value)
        elif isinstance(node, ast.Assign) and node.targets[0].id == "_PRETRAINED":
            out = {k.value: tags(v) for k, v in zip(node.value.keys, node.value.values)}
    for model, entries in list(out.items()):
        quick = {tag: e for tag, e in entries.items() if e["quick_gelu"]}
        if quick:
            out[model + "-quickgelu"] = quick
    return {model: {tag: {k: v for k, v in e.items() if v != "" and v is not False} for tag, e in entries.items()} for model, entries in out.items()}


def rows(module, families):
    tree = ast.parse((where("timm") / "models" / (module + ".py")).read_text())
    tags = configurations(tree)
    for name, creator, args in families(tree):
        family = FAMILIES.get((module, creator), creator)
        if args.pop("distilled", False):
            family = "vit_distilled"
        cfgs = tags.get(name, [("", dict(img_size=224, num_classes=1000))])
        row = dict(name=name, family=family, args=args) | cfgs[0][1]
        differ = {tag: {k: v for k, v in says.items() if cfgs[0][1].get(k) != v} for tag, says in cfgs if says != cfgs[0][1]}
        row["tags"] = [tag for tag, _ in cfgs if tag]
        if differ:
            row["differ"] = differ
        yield row


def computed(node, known, functions):
    """The value of an expression of names, numbers, lists and calls of these functions, of which each returns one such expression."""
    def of(node):
        if isinstance(node, ast.Name):
            return known[node.id] if node.id in known else node.id
        if isinstance(node, (ast.Tuple, ast.List)):
            return [of(e) for e in node.elts]
        if isinstance(node, ast.BinOp):
            left, right = of(node.left), of(node.right)
            return left * right if isinstance(node.op, ast.Mult) else left / right
        if isinstance(node, ast.Subscript):
            return of(node.value)[of(node.slice)]
        if isinstance(node, ast.Call):
            name, arguments = node.func.id, {}
            for k in node.keywords:
                arguments |= {k.arg: of(k.value)} if k.arg else of(k.value)
            if name == "to_2tuple":
                pair = of(node.args[0])
                return pair if isinstance(pair, list) else [pair, pair]
            if name not in functions:  # a class, whose arguments are all that is wanted
                return arguments
            function = functions[name]
            names = [a.arg for a in function.args.args]
            inner = {n: computed(d, {}, {}) for n, d in zip(names[len(names) - len(function.args.defaults):], function.args.defaults)} | arguments
            for statement in function.body:
                if isinstance(statement, ast.Assign):
                    inner[statement.targets[0].id] = computed(statement.value, inner, functions)
                elif isinstance(statement, ast.Return):
                    return computed(statement.value, inner, functions)
        return node.value
    return of(node)


def maxxvits(tree):
    """timm builds these from configurations, whose fields are arguments too: conv_cfg's with conv_ in front of their names,
    transformer_cfg's with transformer_. The kind of convolutions is said even where it is the usual one."""
    functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name.endswith("_cfg")}
    configured = next(computed(n.value, {}, functions) for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "model_cfgs")
    for name, creator, _ in entry_points(tree):
        args = dict(configured[name if name in configured else name.rpartition("_")[0]])
        args["conv_block_type"] = "mbconv"
        for part in ("conv", "transformer"):
            args |= {part + "_" + k: v for k, v in args.pop(part + "_cfg", {}).items()}
        yield name, creator, args


def stems(tree):
    """The one hybrid whose backbone is three convolutions."""
    name = "vit_base_mci_224"
    if f"def {name}(" in ast.unparse(tree):
        yield name, "vit", dict(embed_dim=768, depth=12, num_heads=12, no_embed_class=True, conv_stem=True)


def main():
    here = pathlib.Path(__file__).parent
    with open(here / "timm.jsonl", "w") as out:
        for module in ("vision_transformer", "deit", "swin_transformer", "swin_transformer_v2", "eva", "beit", "hiera"):
            for row in rows(module, entry_points):
                print(json.dumps(row, separators=(", ", ": ")), file=out)
        for row in rows("maxxvit", maxxvits):
            print(json.dumps(row), file=out)
        for row in rows("vision_transformer_hybrid", stems):
            print(json.dumps(row), file=out)
    weights = pretrained()
    with open(here / "open_clip.jsonl", "w") as out:
        for path in sorted((where("open_clip") / "model_configs").glob("*.json")):
            row = dict(name=path.stem, model_cfg=json.loads(path.read_text()))
            if path.stem in weights:
                row["weights"] = weights[path.stem]
            print(json.dumps(row), file=out)
    here.parent.joinpath("testdata", "open_clip_tags.json").write_text(
        "[\n" + ",\n".join(json.dumps([model, tag]) for model in sorted(weights) for tag in weights[model]) + "\n]\n")


main()
