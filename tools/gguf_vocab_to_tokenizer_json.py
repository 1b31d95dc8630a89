#!/usr/bin/env python3
"""Turns the vocabulary of a GGUF file into tokenizer.json, for tests against real vocabularies.

    tools/gguf_vocab_to_tokenizer_json.py VOCAB.gguf OUT_FOLDER

Knows the pre-tokenizers gpt-2 and deepseek-llm and the SentencePiece kind ("llama"). Where VOCAB.gguf.inp (texts separated by
__ggml_vocab_test__ lines) and VOCAB.gguf.out (ids, a line per text) lie beside it, they become OUT_FOLDER/published.jsonl, in
the form of tools/tokenizer_goldens.py. Needs: gguf, tokenizers (only to import the DeepSeek patterns).
"""
import json
import pathlib
import sys

from gguf import GGUFReader

from tokenizer_goldens import DEEPSEEK_LLM

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def merges_from_scores(tokens, scores):
    """SentencePiece keeps scores instead of merges: every split of a piece into two pieces is a merge, best score first."""
    ids = {token: i for i, token in enumerate(tokens)}
    merges = []
    for piece, score in zip(tokens, scores):
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in ids and piece[i:] in ids]
        splits.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        merges += [(score, len(left), len(right), left, right) for left, right in splits]
    merges.sort(key=lambda merge: merge[:3], reverse=True)
    return [[left, right] for *_, left, right in merges]


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def pre_tokenizer(name):
    if name == "gpt-2":
        return byte_level(True)
    if name == "deepseek-llm":
        splits = [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
                  for regex in DEEPSEEK_LLM]
        return {"type": "Sequence", "pretokenizers":
                [*splits, {"type": "Digits", "individual_digits": True}, byte_level(False)]}
    raise SystemExit(f"pre-tokenizer {name!r} is not known; known are gpt-2, deepseek-llm")


def convert(reader):
    field = lambda key: reader.fields[f"tokenizer.ggml.{key}"].contents()
    has = lambda key: f"tokenizer.ggml.{key}" in reader.fields
    tokens, types = field("tokens"), field("token_type")
    added = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": kind == USER_DEFINED and field("model") != "llama", "special": kind != USER_DEFINED}
             for i, (token, kind) in enumerate(zip(tokens, types)) if kind in (UNKNOWN, CONTROL, USER_DEFINED)]
    out = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
           "pre_tokenizer": None, "post_processor": None, "decoder": None}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    if has("add_bos_token") and field("add_bos_token"):
        bos = tokens[field("bos_token_id")]
        sequence = lambda id_: {"Sequence": {"id": id_, "type_id": 0}}
        single = [{"SpecialToken": {"id": bos, "type_id": 0}}, sequence("A")]
        out["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": [*single, sequence("B")],
                                 "special_tokens": {bos: {"id": bos, "ids": [field("bos_token_id")], "tokens": [bos]}}}
    if field("model") == "llama":
        out["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
        out["decoder"] = {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
        model |= {"unk_token": tokens[field("unknown_token_id")], "fuse_unk": True, "byte_fallback": True}
        model["vocab"] = {token: i for i, token in enumerate(tokens)}
        model["merges"] = merges_from_scores(tokens, field("scores"))
    else:
        out["pre_tokenizer"] = pre_tokenizer(field("pre"))
        out["decoder"] = byte_level(True)
        model["vocab"] = {token: i for i, (token, kind) in enumerate(zip(tokens, types)) if kind == NORMAL}
        model["merges"] = field("merges")  # the older form, "left right"
    return out | {"model": model}


def published_cases(gguf):
    inputs, outputs = gguf.with_name(gguf.name + ".inp"), gguf.with_name(gguf.name + ".out")
    if not inputs.exists():
        return []
    texts = inputs.read_bytes().decode().split("\n__ggml_vocab_test__\n")
    ids = [[int(i) for i in line.split()] for line in outputs.read_text().split("\n")]
    return [{"text": text, "plain": expected} for text, expected in zip(texts, ids)]


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    gguf, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(convert(GGUFReader(gguf)), ensure_ascii=False))
    cases = published_cases(gguf)
    with (folder / "published.jsonl").open("w") as out:
        for case in cases:
            out.write(json.dumps(case, ensure_ascii=False) + "\n")
    print(f"{folder}: {len(cases)} published cases")


if __name__ == "__main__":
    main()
