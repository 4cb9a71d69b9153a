"""Writes unigram.json.gz and pairs.json.gz, small tokenizers of the kinds that SigLIP and SigLIP 2 have, and pieces.json with what
the tokenizers library makes of texts.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf ftfy==6.3.1 && pip install --no-deps open_clip_torch && python pieces.py
"""
import ast
import gzip
import html
import importlib.util
import io
import json
import pathlib
import random
import re
import string

import ftfy
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
WORDS = """a photo of the cat dog bird on with red blue green striped spotted car house tree river mountain beach city street night
day sunny rainy close up painting drawing sketch small large very old new wooden metal glass person standing sitting running in front
behind under over near water sky grass snow sand forest kitchen table chair bottle cup plate apple orange banana bread cheese""".split()
TEXTS = ["a photo of a cat", "A Photo of 2 DOGS!", "itap of a {}.", "", " ", "  two   spaces  ", "snake_case_name", "it's the cat's", "naïve café",
         "cafe\u0301", "ﬁne ½ ①", "ＦＵＬＬ　ｗｉｄｔｈ", "ΌΔΟΣ ΣΑΣ", "İstanbul", "ß ẞ", "数据 模型", "한국어 글", "नमस्ते", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "zero\u200bwidth",
         "tab\tand\nnewline\r\n", "&amp;lt;b&amp;gt;", "x" * 300, "▁meta▁space", "</s> <eos> <unk> <pad>", "...---...", "a-b/c\\d", "e\u0301\u0302\u0303", "\u00a0nbsp\u2003em",
         "the the the the", "ab" * 50, "ﷺ", "Ⅷ ㎏ ㌀", "ǅ ǆ", "\u0000nul", "\ufeffbom", "\u202eright", "a\u0300\u0316b", "가각", "٣٤٥", "unbelievable striped spottedness"]


def canonicalize():
    """open_clip's function, taken from its source."""
    tree = ast.parse((pathlib.Path(importlib.util.find_spec("open_clip").submodule_search_locations[0]) / "tokenizer.py").read_text())
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "canonicalize_text")
    names = {"string": string}
    exec(compile(ast.Module([function], []), "tokenizer.py", "exec"), names)
    return lambda text: names["canonicalize_text"](html.unescape(html.unescape(ftfy.fix_text(text, fix_encoding=False))).strip())


def plain(text):
    """What SiglipTokenizer of the transformers library does first."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", text).strip()


def corpus():
    rng = random.Random(1)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 9))) for _ in range(3000)] + [t for t in TEXTS if t.strip()] * 2


def unigram():
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_writer=out, vocab_size=260, hard_vocab_limit=False, model_type="unigram", pad_id=0, eos_id=1, unk_id=2,
                                             bos_id=-1, character_coverage=0.995, minloglevel=2, normalization_rule_name="nmt_nfkc")
    proto = sentencepiece_model_pb2.ModelProto.FromString(out.getvalue())
    t = Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=2))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    t.add_special_tokens([AddedToken(s, normalized=False) for s in ("<pad>", "</s>", "<unk>")])
    return t


def pairs():
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    t.train_from_iterator((w for line in corpus() for w in re.findall(r" ?\S+", line)), trainers.BpeTrainer(vocab_size=900, special_tokens=special + bytes_, limit_alphabet=60, show_progress=False))
    state = json.loads(t.to_str())
    state["added_tokens"] = [a for a in state["added_tokens"] if a["content"] in special]
    t = Tokenizer.from_str(json.dumps(state))
    t.add_tokens([AddedToken("\n\n", normalized=False)])
    t.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return t


def main():
    cleans = {"canonical": canonicalize(), "plain": plain, "none": lambda text: text}
    cases = []
    for name, make in (("unigram", unigram), ("pairs", pairs)):
        t = make()
        (HERE / f"{name}.json.gz").write_bytes(gzip.compress(t.to_str().encode(), 9, mtime=0))
        for clean, function in cleans.items():
            for text in TEXTS:
                cases.append(dict(tokenizer=name, clean=clean, text=text, ids=t.encode(function(text)).ids))
    (HERE / "pieces.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
