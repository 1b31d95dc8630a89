#!/usr/bin/env python3
"""Makes small tokenizers of every supported kind and goldens for them.

    tools/tokenizer_goldens.py                       rewrites tests/data/tokenizers/<kind>/cases.jsonl (and trains missing
                                                     tokenizer.json files)
    tools/tokenizer_goldens.py --full OUT            the same kinds with 12,000 cases each, into OUT
    tools/tokenizer_goldens.py --full OUT --tokenizer NAME=PATH …   and cases for further tokenizer.json files

    INGOT_TOKENIZER_CASES=OUT build/release/bin/test_text --gtest_filter='TokenizerGoldens.*'

runs the tests on OUT. The expected ids and texts come from the Hugging Face `tokenizers` package. Needs: tokenizers.
A case is a line of JSON: {"text" or "hex" (bytes that are not UTF-8), "ids", "plain" (ids without special tokens, where they
differ), "decoded", "decoded_all" (special tokens kept, where it differs)}.
"""
import argparse
import json
import pathlib
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "data" / "fairytales-valid.txt"

# The published splits.
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTION
         + r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTION
         + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Characters that a text editor may normalise are escaped.
DEEPSEEK_LLM = [r"[\r\n]",
                "\\s?[A-Za-z\u00b5À-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7d"
                "ᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
                "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
                "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"]
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_LLM[-1]]
DEEPSEEK_V3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
               r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
               r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]

SCRIPTS = """Ὁ λύκος καὶ ὁ ἀμνός. Жила-была старуха, и был у неё сын. היה היה מלך גדול. كان يا ما كان في قديم الزمان ملك.
एक समय की बात है, एक राजा था। 昔々あるところに、おじいさんとおばあさんが住んでいました。옛날 옛적에 한 임금님이 살았습니다。
从前有一个国王，他有三个女儿。小女儿最漂亮。นานมาแล้วมีพระราชาองค์หนึ่ง Es war einmal ein König, der hatte drei Töchter; çà et là, où été, naïve, Ångström.
\tint main(int argc, char** argv) { return argc > 1 ? 0x1F : 3.14159; }  // 1234567890
"""


def lines():
    text = CORPUS.read_text()[:120_000]
    return (text + "\n" + SCRIPTS * 40).splitlines()


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(use_regex=False, add_prefix_space=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def train_byte_level(pre_tokenizer, normalizer=None, vocab=1500, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(lines(), trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def train_sentencepiece_like(vocab=1400, extra=("<unk>", "<s>", "</s>"), bytes_=True):
    """A BPE over characters with ▁ for the space, byte fallback, and merges for runs of ▁, as converted from Llama."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.train_from_iterator(lines(), trainers.BpeTrainer(vocab_size=vocab, show_progress=False, limit_alphabet=150))
    model = json.loads(tokenizer.to_str())["model"]
    tokens = list(extra) + ([f"<0x{byte:02X}>" for byte in range(256)] if bytes_ else [])
    for token in sorted(model["vocab"], key=model["vocab"].get) + ["▁▁", "▁▁▁▁", "▁▁▁▁▁▁▁▁"]:
        if token not in tokens:
            tokens.append(token)
    merges = [("▁", "▁"), ("▁▁", "▁▁"), ("▁▁▁▁", "▁▁▁▁")] + [tuple(merge) for merge in model["merges"]]
    vocab = {token: id_ for id_, token in enumerate(tokens)}
    return Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=bytes_))


def template(tokenizer, bos, eos=None):
    single = f"{bos} $A" + (f" {eos}" if eos else "")
    names = [bos] + ([eos] if eos else [])
    return processors.TemplateProcessing(single=single, pair=f"{single} {bos} $B",
                                         special_tokens=[(name, tokenizer.token_to_id(name)) for name in names])


def gpt2():
    tokenizer = train_byte_level(byte_level(use_regex=True))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def llama2():
    tokenizer = train_sentencepiece_like()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer


def llama2_metaspace():
    tokenizer = llama2()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return tokenizer


def mistral():
    """Mistral v0.3 with its control tokens; ▁ starts words."""
    tokenizer = train_sentencepiece_like(extra=("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"])
    tokenizer.post_processor = template(tokenizer, "<s>", "</s>")
    return tokenizer


def metaspace_unknown():
    """No byte fallback: unknown characters fuse; the Metaspace decoder."""
    tokenizer = train_sentencepiece_like(vocab=900, bytes_=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("dragon", single_word=True), AddedToken("▁▁▁")])
    return tokenizer


def llama3():
    tokenizer = train_byte_level(pre_tokenizers.Sequence([split(LLAMA3), byte_level()]), ignore_merges=True)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|eot_id|>"]
                                 + [f"<|reserved_special_token_{i}|>" for i in range(20)])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template(tokenizer, "<|begin_of_text|>")])
    return tokenizer


def qwen2():
    tokenizer = train_byte_level(pre_tokenizers.Sequence([split(QWEN2), byte_level()]), normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return tokenizer


def tekken():
    tokenizer = train_byte_level(pre_tokenizers.Sequence([split(TEKKEN, "removed", invert=True), byte_level()]),
                                 ignore_merges=True)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer


def smollm():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)]))
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>"])
    return tokenizer


def deepseek_llm():
    tokenizer = train_byte_level(pre_tokenizers.Sequence(
        [split(pattern) for pattern in DEEPSEEK_LLM] + [pre_tokenizers.Digits(individual_digits=True), byte_level()]),
        normalizers.Sequence([]))
    tokenizer.add_special_tokens(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"])
    tokenizer.post_processor = template(tokenizer, "<｜begin▁of▁sentence｜>")
    return tokenizer


def deepseek_v3():
    tokenizer = train_byte_level(pre_tokenizers.Sequence([split(p) for p in DEEPSEEK_V3] + [byte_level()]))
    tokenizer.add_special_tokens(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"])
    tokenizer.add_tokens([AddedToken("<｜User｜>", normalized=False), AddedToken("<think>")])
    tokenizer.post_processor = template(tokenizer, "<｜begin▁of▁sentence｜>")
    return tokenizer


def deepseek_coder():
    tokenizer = train_byte_level(pre_tokenizers.Sequence(
        [split(pattern) for pattern in DEEPSEEK_CODER] + [pre_tokenizers.Digits(individual_digits=True), byte_level()]),
        normalizers.Sequence([]), vocab=900)
    tokenizer.add_special_tokens(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"])
    tokenizer.add_tokens([AddedToken("<｜User｜>", normalized=False)])
    tokenizer.post_processor = template(tokenizer, "<｜begin▁of▁sentence｜>")
    return tokenizer


def command_r():
    tokenizer = train_byte_level(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)]),
        normalizers.NFC(), vocab=900)
    tokenizer.add_special_tokens(["<PAD>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"])
    tokenizer.post_processor = template(tokenizer, "<BOS_TOKEN>")
    return tokenizer


def olmo():
    tokenizer = train_byte_level(byte_level(use_regex=True), normalizers.NFC(), vocab=900)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|padding|>"])
    return tokenizer


def qwen35():
    tokenizer = train_byte_level(pre_tokenizers.Sequence([split(QWEN35), byte_level()]), normalizers.NFC(), vocab=900)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def gpt4o():
    tokenizer = train_byte_level(pre_tokenizers.Sequence([split(GPT4O), byte_level()]), vocab=900)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|endofprompt|>"])
    return tokenizer


def falcon():
    tokenizer = train_byte_level(pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("contiguous"), byte_level(use_regex=True), pre_tokenizers.Digits(individual_digits=False),
         split("[0-9][0-9][0-9]")]), vocab=900)
    tokenizer.add_special_tokens([">>TITLE<<", ">>ABSTRACT<<", "<|endoftext|>"])
    return tokenizer


def falcon3():
    tokenizer = train_byte_level(pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("contiguous"), byte_level(use_regex=True), pre_tokenizers.Digits(individual_digits=True)]), vocab=900)
    tokenizer.add_special_tokens([">>TITLE<<", "<|endoftext|>"])
    return tokenizer


def added_tokens():
    """Every option of added tokens, a prefix space, NFKC."""
    tokenizer = train_byte_level(byte_level(use_regex=True, add_prefix_space=True), normalizers.NFKC(), vocab=600)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<end>", rstrip=True),
                                  AddedToken("<both>", lstrip=True, rstrip=True), AddedToken("ﬁn", normalized=True)])
    tokenizer.add_tokens([AddedToken("king", single_word=True, normalized=False), AddedToken("queen", single_word=True),
                          AddedToken("the old", lstrip=True), AddedToken("the", single_word=True, rstrip=True),
                          AddedToken("①", normalized=True), AddedToken("  ", normalized=False), AddedToken("é", normalized=False)])
    return tokenizer


def splits():
    """The split behaviors, inverted and by string; NFD; a ByteLevel that is not last."""
    tokenizer = train_byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(", ", "merged_with_previous"), pre_tokenizers.Split("th", "merged_with_next"),
        split(r"\p{Lu}+", "contiguous"), split(r"[^\s]+|\S*", "isolated", invert=True), split(r"\w{2,4}+|\h{,3}x?", "merged_with_next"),
        pre_tokenizers.Split("#", "removed"), byte_level(use_regex=True), pre_tokenizers.Digits(individual_digits=False)]),
        normalizers.Sequence([normalizers.NFD(), normalizers.Replace(Regex(r"\p{M}{2,}"), "\u0301"),
                              normalizers.Replace("king", "KING")]), vocab=700)
    return tokenizer


KINDS = [gpt2, llama2, llama2_metaspace, mistral, metaspace_unknown, llama3, qwen2, tekken, smollm, deepseek_llm, deepseek_v3,
         added_tokens, splits, deepseek_coder, command_r, olmo, qwen35, gpt4o, falcon, falcon3]


class Strings:
    """Random and adversarial strings."""

    def __init__(self, seed, specials):
        self.random = random.Random(seed)
        self.corpus = CORPUS.read_text()
        self.specials = specials or ["<x>"]
        assigned = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
        scripts = {}
        for c in assigned:
            scripts.setdefault(unicodedata.name(c, "CONTROL").split()[0].split("-")[0], []).append(c)
        self.scripts = [chars for chars in scripts.values() if len(chars) >= 5]
        self.assigned = assigned
        self.marks = [c for c in assigned if unicodedata.category(c) in ("Mn", "Mc", "Me")]
        self.numbers = [c for c in assigned if unicodedata.category(c) in ("Nd", "Nl", "No")]
        self.decomposable = [c for c in assigned if unicodedata.decomposition(c) and not "가" <= c <= "힣"]
        self.spaces = list(" \t\n\r\x0b\x0c\x85\xa0\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff")
        self.makers = [self.script, self.any_script, self.emoji, self.combining, self.space_runs, self.controls,
                       self.special_tokens, self.contractions, self.digits, self.prose, self.prose_changed, self.code,
                       self.ascii, self.hangul, self.runs, self.normal_forms, self.mixture, self.chinese]

    def some(self, items, low, high):
        return "".join(self.random.choice(items) for _ in range(self.random.randint(low, high)))

    def script(self):
        chars = self.random.choice(self.scripts)
        return " ".join(self.some(chars, 1, 8) for _ in range(self.random.randint(1, 6)))

    def any_script(self):
        return self.some(self.assigned, 1, 30)

    def emoji(self):
        people = list("👨👩🧑👧👦🧔👱")
        tones = ["", *"🏻🏼🏽🏾🏿"]
        out = []
        for _ in range(self.random.randint(1, 6)):
            out.append(self.random.choice([
                lambda: "\u200d".join(self.random.choice(people) + self.random.choice(tones) for _ in range(self.random.randint(2, 4))),
                lambda: self.some([chr(c) for c in range(0x1F1E6, 0x1F200)], 2, 2),
                lambda: self.random.choice("0123456789#*") + "\ufe0f\u20e3",
                lambda: chr(self.random.randint(0x1F300, 0x1F64F)) + self.random.choice(["", "\ufe0f", "\ufe0e", " "]),
                lambda: "🏴" + "".join(chr(0xE0000 + ord(c)) for c in "gbsct") + "\U000E007F",
                lambda: self.random.choice("❤☺✂‼⁉™") + "\ufe0f\u200d🔥",
            ])())
        return self.random.choice(["", " "]).join(out)

    def combining(self):
        return "".join(self.random.choice(self.random.choice(self.scripts)) + self.some(self.marks, 0, 4)
                       for _ in range(self.random.randint(1, 10)))

    def space_runs(self):
        out = []
        for _ in range(self.random.randint(1, 6)):
            space = self.random.choice(self.spaces) * self.random.choice([1, 2, 3, 7, 16, 60, 130])
            out.append(self.random.choice([space, self.some(self.spaces, 1, 6), space + "\n", "word", "7", "!", "a\n"]))
        return "".join(out)

    def controls(self):
        return self.some([chr(c) for c in [*range(32), *range(127, 160), 0x200b, 0x200e, 0x202e, 0xad, 0xfff9]] + list("ab 1."), 1, 20)

    def special_tokens(self):
        def piece():
            token = self.random.choice(self.specials)
            cut = self.random.randint(0, len(token))
            return self.random.choice([token, token, token[:cut], token[cut:], token + " ", " " + token, "\n" + token, token.upper(),
                                       self.some("abc <>|", 1, 5), "  ", "The king", "king's", "é", "e\u0301", "the\tqueen", "x"])
        return "".join(piece() for _ in range(self.random.randint(1, 8)))

    def contractions(self):
        ends = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Ve", "'m", "'ll", "'LL", "'lL", "'d", "'D", "’s", "'ſ", "''s", "' s", "'"]
        return self.random.choice(["", " "]).join(self.random.choice(["I", "you", "IT", "we", "", "1", "é", "K"]) + self.random.choice(ends)
                                                  for _ in range(self.random.randint(1, 8)))

    def digits(self):
        return self.random.choice(["", " ", "a", ".", ","]).join(
            self.some(self.random.choice([list("0123456789"), self.numbers]), 1, 9) for _ in range(self.random.randint(1, 5)))

    def prose(self):
        start = self.random.randrange(len(self.corpus) - 400)
        return self.corpus[start:start + self.random.randint(1, 300)]

    def prose_changed(self):
        return "".join(self.random.choice([c, c, c, c.upper(), c + c, "", " " + c]) for c in self.prose())

    def code(self):
        bits = ["def f(x):\n", "    return x", "\t\t", "==", "!=", "->", "://", "https://example.org/a?b=c&d=%20", "\r\n", "\n\n\n", "/*", "*/",
                "0x1F", "1e-9", "snake_case", "CamelCase", "{", "}", "[[", "]]", "\\n", "\\", "\"", "'", "`", "@", "#", "$", "^", "~", "//", "/\n"]
        return self.some(bits, 1, 12)

    def ascii(self):
        return self.some([chr(c) for c in range(32, 127)], 1, 60)

    def hangul(self):
        jamo = [chr(c) for c in [*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]]
        return self.some([chr(self.random.randint(0xAC00, 0xD7A3)) for _ in range(5)] + jamo + [" "], 1, 20)

    def runs(self):
        unit = self.random.choice(["a", "ab", " ", "é", "中", "😀", "1", ".", "-", "=", "\n", "\u0301", "the", "▁", "\u0301\u0323", "A"])
        return unit * self.random.choice([2, 5, 30, 100, 500]) + self.random.choice(["", "b", " b", "\n"])

    def normal_forms(self):
        return unicodedata.normalize(self.random.choice(["NFC", "NFD", "NFKC", "NFKD"]),
                                     self.some(self.decomposable + self.marks[:400], 1, 15))

    def chinese(self):
        common = "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都然没日于起还发成事只作当想看文无开手用主行方又如前所本见经头面公同三已老从动"
        return "".join(self.some(common, 1, 12) + self.random.choice("，。！？、；：“”《》 ") for _ in range(self.random.randint(1, 6)))

    def mixture(self):
        return self.random.choice(["", " ", "\n"]).join(self.random.choice(self.makers)() for _ in range(self.random.randint(2, 3)))

    def make(self):
        return self.random.choice(self.makers)()

    def invalid(self):
        data = bytearray(self.make().encode()[:60])
        for _ in range(self.random.randint(1, 4)):
            data.insert(self.random.randint(0, len(data)), self.random.choice([0x80, 0xBF, 0xC0, 0xC3, 0xE4, 0xED, 0xF0, 0xF4, 0xFF]))
        return bytes(data)


def case(tokenizer, text, data=None):
    out = {"hex": data.hex()} if data is not None else {"text": text}
    out["ids"] = tokenizer.encode(text).ids
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    if plain != out["ids"]:
        out["plain"] = plain
    out["decoded"] = tokenizer.decode(out["ids"])
    everything = tokenizer.decode(out["ids"], skip_special_tokens=False)
    if everything != out["decoded"]:
        out["decoded_all"] = everything
    return out


def write_cases(tokenizer, path, count, seed, limit=None):
    specials = [token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items())]
    strings = Strings(seed, specials)
    every_token = sorted(tokenizer.get_vocab().values())
    with path.open("w") as out:
        def put(value):
            line = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
            if limit is None or len(line) <= limit:
                out.write(line)
        for text in ["", " ", "a", "\n", "\x00"]:
            put(case(tokenizer, text))
        for i in range(count):
            if i % 25 == 7:
                data = strings.invalid()
                put(case(tokenizer, data.decode(errors="replace"), data))
            elif i % 25 == 19:  # ids that no text gives
                ids = [strings.random.choice(every_token) for _ in range(strings.random.randint(1, 12))]
                put({"decode": ids, "decoded": tokenizer.decode(ids),
                     "decoded_all": tokenizer.decode(ids, skip_special_tokens=False)})
            else:
                put(case(tokenizer, strings.make()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", metavar="OUT", type=pathlib.Path)
    parser.add_argument("--count", type=int, help="cases of each kind (default: 300, with --full 12000)")
    parser.add_argument("--tokenizer", metavar="NAME=PATH", action="append", default=[])
    parser.add_argument("--only", action="append", help="a kind, by name")
    args = parser.parse_args()
    root = args.full or ROOT / "tests" / "data" / "tokenizers"
    count = args.count or (12000 if args.full else 300)
    made = [(kind.__name__, kind) for kind in KINDS]
    made += [(name, lambda path=path: Tokenizer.from_file(path)) for name, path in (t.split("=", 1) for t in args.tokenizer)]
    for name, make in made:
        if args.only and name not in args.only:
            continue
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        kept = ROOT / "tests" / "data" / "tokenizers" / name / "tokenizer.json"
        if kept.exists():  # training breaks ties at random: delete the file to train anew
            (folder / "tokenizer.json").write_bytes(kept.read_bytes())
        else:
            make().save(str(folder / "tokenizer.json"), pretty=False)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        write_cases(tokenizer, folder / "cases.jsonl", count, seed=name, limit=None if args.full else 3000)
        print(name, tokenizer.get_vocab_size(), (folder / "tokenizer.json").stat().st_size, (folder / "cases.jsonl").stat().st_size)


if __name__ == "__main__":
    main()
