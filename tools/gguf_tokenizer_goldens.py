#!/usr/bin/env python3
"""Writes the small tokenizers of tests/data/tokenizers as GGUF vocabularies, for tests of the GGUF tokenizer section.

    tools/gguf_tokenizer_goldens.py      writes tests/data/tokenizers/<kind>/vocab.gguf and the seeds of the fuzzer

The byte-level kinds come from their tokenizer.json, so that their cases.jsonl holds for both files. The SentencePiece kinds are
trained here (where vocab.gguf is missing) by the `sentencepiece` package; their tokenizer.json is made by the conversion of the
`transformers` package and cases.jsonl by tools/tokenizer_goldens.py. The GGUF files are written by the `gguf` package.
Needs: gguf, sentencepiece, tokenizers, transformers.
"""
import io
import json
import pathlib

import gguf
import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers.convert_slow_tokenizer import generate_merges

from tokenizer_goldens import ROOT, lines, template, write_cases

FOLDER = ROOT / "tests" / "data" / "tokenizers"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# Kind, tokenizer.ggml.pre, further keys. Where add_bos_token is not given, the name decides.
BYTE_LEVEL = {
    "gpt2": ("gpt-2", {}),
    "llama3": ("llama-bpe", {"bos": "<|begin_of_text|>", "eos": "<|end_of_text|>"}),
    "qwen2": ("qwen2", {"add_bos": False, "eos": "<|im_end|>"}),
    "qwen35": ("qwen35", {"eos": "<|im_end|>"}),
    "tekken": ("tekken", {"bos": "<s>", "eos": "</s>"}),
    "smollm": ("smollm", {}),
    "deepseek_llm": ("deepseek-llm", {"add_bos": True, "bos": "<｜begin▁of▁sentence｜>"}),
    "deepseek_coder": ("deepseek-coder", {"add_bos": True, "bos": "<｜begin▁of▁sentence｜>"}),
    "deepseek_v3": ("deepseek-v3", {"add_bos": True, "bos": "<｜begin▁of▁sentence｜>"}),
    "command_r": ("command-r", {"add_bos": True, "bos": "<BOS_TOKEN>"}),
    "olmo": ("olmo", {}),
    "gpt4o": ("gpt-4o", {}),
    "falcon": ("falcon", {}),
    "falcon3": ("falcon3", {}),
}


def write_gguf(path, model, tokens, types, merges=None, scores=None, pre=None, keys=None):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
    keys = dict(keys or {})
    for role, add in (("bos", writer.add_bos_token_id), ("eos", writer.add_eos_token_id)):
        if role in keys:
            add(tokens.index(keys[role]))
    if "add_bos" in keys:
        writer.add_add_bos_token(keys["add_bos"])
    if "add_eos" in keys:
        writer.add_add_eos_token(keys["add_eos"])
    if "add_space_prefix" in keys:
        writer.add_add_space_prefix(keys["add_space_prefix"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path.relative_to(ROOT), len(tokens), path.stat().st_size)


def byte_level(kind, pre, keys):
    tokenizer = json.loads((FOLDER / kind / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    added = {token["content"]: token for token in tokenizer["added_tokens"]}
    ids = vocab | {content: token["id"] for content, token in added.items()}
    size = max(ids.values()) + 4  # as a model whose embedding has more rows than tokens
    tokens, types = [f"[PAD{i}]" for i in range(size)], [UNUSED] * size
    for token, id_ in ids.items():
        tokens[id_] = token
        types[id_] = NORMAL if token not in added else CONTROL if added[token]["special"] else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    write_gguf(FOLDER / kind / "vocab.gguf", "gpt2", tokens, types, merges=merges, pre=pre, keys=keys)


def sentencepiece_kind(kind, prefix, user_defined, more, keys):
    """`more`: tokens behind the pieces, as added_tokens.json brings them."""
    folder = FOLDER / kind
    if (folder / "vocab.gguf").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=trained, model_type="bpe", vocab_size=1100, byte_fallback=True,
        character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix,
        allow_whitespace_only_pieces=True, user_defined_symbols=user_defined, num_threads=1, minloglevel=2)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    ids = range(pieces.get_piece_size())
    tokens = [pieces.id_to_piece(i) for i in ids]
    scores = [pieces.get_score(i) for i in ids]
    types = [UNKNOWN if pieces.is_unknown(i) else CONTROL if pieces.is_control(i) else BYTE if pieces.is_byte(i)
             else USER_DEFINED if tokens[i] in user_defined else NORMAL for i in ids]

    vocab = {token: i for i, token in enumerate(tokens)}
    merges = generate_merges(vocab, dict(zip(tokens, scores)))
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    space = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), space] if prefix else [space])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
                                          + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=kind_ != USER_DEFINED)
                          for token, kind_ in zip(tokens, types) if kind_ in (UNKNOWN, CONTROL, USER_DEFINED)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in more])
    if keys.get("add_bos", True):
        tokenizer.post_processor = template(tokenizer, "<s>", "</s>" if keys.get("add_eos") else None)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    # Writers of GGUF turn the marks of user-defined pieces into spaces, and fill up with unused tokens.
    tokens = [token.replace("▁", " ") if kind_ == USER_DEFINED else token for token, kind_ in zip(tokens, types)]
    tokens += [*more, "[PAD1]", "[PAD2]"]
    scores += [-1000.0] * len(more) + [-10000.0] * 2
    types += [CONTROL] * len(more) + [UNUSED] * 2
    write_gguf(folder / "vocab.gguf", "llama", tokens, types, scores=scores, keys=keys)
    write_cases(tokenizer, folder / "cases.jsonl", 250, seed=kind, limit=3000)


def fuzzer_seeds():
    folder = ROOT / "tests" / "fuzz" / "corpus" / "gguf_tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(33, 127)] + ["Ġ"]
    words = letters + ["th", "the", "Ġthe", "Ġk", "ing", "in", "<e>", "<think>", "[PAD]"]
    write_gguf(folder / "words.gguf", "gpt2", words, [NORMAL] * (len(words) - 3) + [CONTROL, USER_DEFINED, UNUSED],
               merges=["t h", "th e", "Ġ the", "Ġ k", "i n", "in g"], pre="llama-bpe",
               keys={"bos": "<e>", "eos": "<e>", "add_eos": True})
    for pre in "qwen2", "deepseek-llm", "falcon":
        write_gguf(folder / f"{pre}.gguf", "gpt2", words[:-3], [NORMAL] * (len(words) - 3), merges=["t h"], pre=pre)
    pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "t", "h", "e", "▁t", "he", "▁the", "  ", "<e>"]
    types = [UNKNOWN, CONTROL, CONTROL, BYTE] + [NORMAL] * 7 + [USER_DEFINED] * 2
    write_gguf(folder / "pieces.gguf", "llama", pieces, types, scores=[0.0] * 4 + [-9.0, -8.0, -8.0, -8.0, -2.0, -2.0, -1.0, 0.0, 0.0],
               keys={"bos": "<s>", "eos": "</s>", "add_space_prefix": True})


def main():
    fuzzer_seeds()
    for kind, (pre, keys) in BYTE_LEVEL.items():
        byte_level(kind, pre, keys)
    sentencepiece_kind("sentencepiece", True, [], ["<|im_start|>", "<|im_end|>"], {"bos": "<s>", "eos": "</s>"})
    sentencepiece_kind("sentencepiece_bare", False, ["▁▁", "▁▁▁▁", "<extra>"], [],
                       {"bos": "<s>", "eos": "</s>", "add_bos": True, "add_eos": True, "add_space_prefix": False})


if __name__ == "__main__":
    main()
