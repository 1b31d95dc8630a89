#!/usr/bin/env python3
"""Train `models/storyteller`, a 15-million-parameter Llama that tells fairy tales.

    # everything: tokenizer, teachers, student, export (about 10 minutes on one H200)
    python tools/train_storyteller.py --train fairytales-train.txt.zst \\
        --valid fairytales-valid.txt.zst --out models/storyteller

    # held-out perplexity in f32 and the greedy golden; writes reference.json into the folder
    python tools/train_storyteller.py --evaluate models/storyteller tests/data/fairytales-valid.txt

    # unedited stories with the folder's own generation settings, seeds 0, 1, 2
    python tools/train_storyteller.py --sample models/storyteller

Needs torch, safetensors and tokenizers; --evaluate and --sample also need transformers. Text files are
UTF-8 with a line `<|endoftext|>` between stories; a name ending in .zst is decompressed (by the `zstandard`
module if it is there, else by the `zstd` program).

The corpus is small (8 million tokens), so the recipe is about getting much from little text:

  1. a byte-level BPE tokenizer of 8192 tokens is trained on the training text;
  2. a few larger Llamas (the teachers) are trained with strong dropout and weight decay;
  3. their averaged predictions for every token of the training text are stored (the likeliest TOPK);
  4. the student is trained on a mix of those predictions and of the text itself.

One file, although it is long: a recipe that is run from top to bottom reads best in one piece.

Matrices are updated by Muon, embeddings and norms by AdamW; the learning rate falls to zero; the weights of
the best validation loss are kept. `--teachers 0` trains the student on the text alone.
"""
import argparse
import json
import math
import os
import subprocess
import time
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

EOT = "<|endoftext|>"
EOT_ID = 0
TOPK = 64  # predictions kept per token when distilling


# ---------------------------------------------------------------------------------------------- text, tokens

def read_text(path):
    if not path.endswith(".zst"):
        with open(path, encoding="utf-8", newline="") as f:
            return f.read()
    try:
        import zstandard
        with open(path, "rb") as f:
            return zstandard.ZstdDecompressor().stream_reader(f).read().decode("utf-8")
    except ImportError:
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")


def train_tokenizer(text, vocab):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    # lstrip and rstrip swallow the line ends around a separator line: [story][eot][story].
    eot = AddedToken(EOT, special=True, normalized=False, lstrip=True, rstrip=True)
    trainer = trainers.BpeTrainer(vocab_size=vocab, min_frequency=2, special_tokens=[eot], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator((s.strip() for s in text.split(EOT)), trainer)
    assert tok.token_to_id(EOT) == EOT_ID and tok.get_vocab_size() == vocab
    tok.post_processor = processors.TemplateProcessing(
        single=f"{EOT} $A", pair=f"{EOT} $A {EOT} $B", special_tokens=[(EOT, EOT_ID)])
    return tok


def encode(tok, text):
    """The ids of a whole file, a BOS in front: what tok.encode(text) gives, but story by story in parallel."""
    stories = text.split(EOT)
    stories = [s.lstrip() if i else s for i, s in enumerate(stories)]
    stories = [s.rstrip() if i + 1 < len(stories) else s for i, s in enumerate(stories)]
    ids = []
    for e in tok.encode_batch(stories, add_special_tokens=False):
        ids.append(EOT_ID)
        ids += e.ids
    return torch.tensor(ids, dtype=torch.int32)


# ---------------------------------------------------------------------------------------------------- the model

@dataclass
class Size:
    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int = 8192
    context: int = 1024
    theta: float = 10000.0
    eps: float = 1e-5

    @staticmethod
    def parse(s, **more):
        return Size(*(int(n) for n in s.split(",")), **more)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads, self.kv_heads, self.dim = s.heads, s.kv_heads, s.width // s.heads
        self.q_proj = nn.Linear(s.width, s.width, bias=False)
        self.k_proj = nn.Linear(s.width, s.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(s.width, s.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(s.width, s.width, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.heads, self.dim).transpose(1, 2)
        k = self.k_proj(x).view(b, t, self.kv_heads, self.dim).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.kv_heads < self.heads:
            k = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
            v = v.repeat_interleave(self.heads // self.kv_heads, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


def rotate(x, cos, sin):
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


class MLP(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.gate_proj = nn.Linear(s.width, s.ffn, bias=False)
        self.up_proj = nn.Linear(s.width, s.ffn, bias=False)
        self.down_proj = nn.Linear(s.ffn, s.width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, s, dropout):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(s.width, eps=s.eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = nn.RMSNorm(s.width, eps=s.eps)
        self.mlp = MLP(s)
        self.dropout = dropout

    def forward(self, x, cos, sin):
        x = x + F.dropout(self.self_attn(self.input_layernorm(x), cos, sin), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training)


class Backbone(nn.Module):
    def __init__(self, s, dropout):
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab, s.width)
        self.layers = nn.ModuleList(Block(s, dropout) for _ in range(s.layers))
        self.norm = nn.RMSNorm(s.width, eps=s.eps)
        self.dropout = dropout


class Llama(nn.Module):
    """LlamaForCausalLM with tied embeddings: the same function and the same names of parameters, plus dropout."""

    def __init__(self, s, dropout=0.0):
        super().__init__()
        self.size = s
        self.model = Backbone(s, dropout)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * s.layers) if deep else 0.02)
        dim = s.width // s.heads
        angle = torch.outer(torch.arange(s.context).float(), s.theta ** (-torch.arange(0, dim, 2).float() / dim))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, ids):
        m, t = self.model, ids.shape[1]
        x = F.dropout(m.embed_tokens(ids), m.dropout, self.training)
        for layer in m.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return F.linear(m.norm(x), m.embed_tokens.weight)


# -------------------------------------------------------------------------------------------------- the optimiser

def orthogonalise(g):
    """Newton-Schulz iteration on a stack of matrices: every singular value goes near 1."""
    x = g.bfloat16()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalised, for the 2-D weights; those of one shape are updated as one stack."""

    def __init__(self, params, lr, decay, compiled):
        self.lr, self.decay = lr, decay
        self.groups = {}
        for p in params:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.momentum = {s: torch.zeros(len(ps), *s, device=ps[0].device) for s, ps in self.groups.items()}
        self.orthogonalise = torch.compile(orthogonalise, dynamic=False) if compiled else orthogonalise

    @torch.no_grad()
    def step(self, scale, mu):
        lr = self.lr * scale
        for shape, ps in self.groups.items():
            g, m = torch.stack([p.grad for p in ps]), self.momentum[shape]
            m.lerp_(g, 1 - mu)
            u = self.orthogonalise(g.lerp_(m, mu)).float() * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_mul_(ps, 1 - lr * self.decay)
            torch._foreach_add_(ps, list(u.unbind()), alpha=-lr)


# ---------------------------------------------------------------------------------------------------- training

def windows(n, context, stride):
    """(begin, end, first scored) of every window of the strided protocol."""
    done, out = 1, []
    for begin in range(0, n, stride):
        end = min(begin + context, n)
        out.append((begin, end, done))
        done = end
        if end == n:
            return out


@torch.no_grad()
def strided_loss(model, ids, batch=32):
    """Mean loss over ids by the strided protocol, in the precision of training."""
    model.eval()
    c, total, n = model.size.context, 0.0, len(ids)
    spans = windows(n, c, c // 2)
    for i in range(0, len(spans), batch):
        part = spans[i:i + batch]
        x = torch.stack([F.pad(ids[b:e], (0, c - (e - b))) for b, e, _ in part]).long()
        with autocast(ids.device):
            logits = model(x)
        for row, (b, e, first) in zip(logits, part):
            total += F.cross_entropy(row[first - b - 1:e - b - 1].float(), ids[first:e].long(),
                                     reduction="sum").item()
    model.train()
    return total / (n - 1)


def autocast(device):
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def epoch_rows(ids, starts, context, gen):
    """Shuffled begins of rows that tile the text at a random offset; one row in eight begins at a story."""
    last = len(ids) - context - 1
    shift = int(torch.randint(context, (1,), generator=gen))
    rows = torch.arange(shift, last, context)
    rows = rows[torch.randperm(len(rows), generator=gen)]
    usable = starts[starts <= last]
    k = len(rows) // 8
    rows[:k] = usable[torch.randint(len(usable), (k,), generator=gen)]
    return rows[torch.randperm(len(rows), generator=gen)]


def loss_on_text(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten())


def loss_distilled(model, x, y, top, prob, text_share):
    """Cross entropy against the teachers' TOPK probabilities (and 'any other token'), mixed with the text's."""
    logits = model(x).float()
    logz = logits.logsumexp(-1)
    text = (logz - logits.gather(-1, y[..., None])[..., 0]).mean()
    logp = logits.gather(-1, top.long()) - logz[..., None]
    prob = prob.float()
    rest = (1 - logp.exp().sum(-1)).clamp_min(1e-6).log()
    soft = -(prob * logp).sum(-1) - (1 - prob.sum(-1)).clamp_min(0) * rest
    return text_share * text + (1 - text_share) * soft.mean(), text


def train(name, size, ids, valid, *, epochs, minutes, dropout, decay, muon_lr, adam_lr, batch, seed, soft=None,
          text_share=1.0, log=None):
    """Train one model; returns it with the weights of its best validation loss, and its record."""
    device = ids.device
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    model = Llama(size, dropout).to(device)
    compiled = device.type == "cuda"
    named = list(model.named_parameters())
    matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in named if p.ndim == 1]
    muon = Muon(matrices, muon_lr, decay, compiled)
    adam = torch.optim.AdamW([
        {"params": [model.model.embed_tokens.weight], "lr": adam_lr, "weight_decay": decay},
        {"params": others, "lr": adam_lr, "weight_decay": 0.0}],
        betas=(0.9, 0.95), eps=1e-10, fused=compiled)
    lr0 = [g["lr"] for g in adam.param_groups]
    loss_fn = loss_distilled if soft else loss_on_text
    if compiled:
        loss_fn = torch.compile(loss_fn, dynamic=False)

    context = size.context
    host_ids = ids.cpu()
    starts = (host_ids == EOT_ID).nonzero()[:, 0]
    per_epoch = len(epoch_rows(host_ids, starts, context, torch.Generator())) // batch
    steps, step, tokens = per_epoch * epochs, 0, 0
    span = torch.arange(context, device=device)
    record = {"name": name, "size": asdict(size), "parameters": sum(p.numel() for _, p in named), "epochs": epochs,
              "dropout": dropout, "decay": decay, "muon_lr": muon_lr, "adam_lr": adam_lr, "batch": batch,
              "seed": seed, "text_share": text_share, "curve": []}
    print(f"[{name}] {record['parameters'] / 1e6:.2f} M parameters, {steps} steps of {batch * context} tokens",
          flush=True)
    best, best_state, begun, running = float("inf"), None, time.time(), []
    progress, rows = 0.0, []
    while progress < 1:
        if len(rows) < batch:
            rows = epoch_rows(host_ids, starts, context, gen).to(device)
        pick, rows = rows[:batch], rows[batch:]
        at = pick[:, None] + span
        x, y = ids[at].long(), ids[at + 1].long()
        with autocast(device):
            if soft:
                loss, text = loss_fn(model, x, y, soft[0][at + 1], soft[1][at + 1], text_share)
            else:
                loss = text = loss_fn(model, x, y)
        loss.backward()
        # Warm up over 2 %, hold to 25 %, then fall linearly to zero; a time limit hurries the schedule.
        scale = min(1.0, (progress + 1e-4) / 0.02, (1 - progress) / 0.75)
        for g, lr in zip(adam.param_groups, lr0):
            g["lr"] = lr * scale
        torch.nn.utils.clip_grad_norm_([g for grp in adam.param_groups for g in grp["params"]], 1.0)
        muon.step(scale, min(0.95, 0.85 + 0.1 * step / 300))
        adam.step()
        model.zero_grad(set_to_none=True)
        running.append(text.detach())
        step, tokens = step + 1, tokens + batch * context
        if step == 1:
            loss.item()
            begun = time.time()  # the clock does not count compilation
        progress = max(step / steps, (time.time() - begun) / (60 * minutes))
        if step % per_epoch == 0 or progress >= 1:
            loss_valid = strided_loss(model, valid)
            if not math.isfinite(loss_valid):
                raise SystemExit(f"[{name}] diverged")
            loss_train = torch.stack(running).mean().item()
            running = []
            seconds = time.time() - begun
            record["curve"].append([round(step / per_epoch, 2), round(loss_train, 4), round(loss_valid, 4)])
            print(f"[{name}] epoch {step / per_epoch:5.1f} {progress:4.0%} train {loss_train:.4f} "
                  f"valid {loss_valid:.4f} {seconds:5.0f} s "
                  f"{tokens / seconds / 1e6:.2f} Mtok/s", flush=True)
            if loss_valid < best:
                best = loss_valid
                best_state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best_state)
    model.eval()
    record.update(seconds=round(time.time() - begun, 1), tokens=tokens, steps=step, best_valid=best)
    if log is not None:
        log.append(record)
    return model, record


@torch.no_grad()
def soft_labels(models, ids, batch=32):
    """For every token, the TOPK likeliest by the mean of the teachers, and their probabilities."""
    n, c = len(ids), models[0].size.context
    top = torch.zeros(n, TOPK, dtype=torch.int16, device=ids.device)
    prob = torch.zeros(n, TOPK, dtype=torch.float16, device=ids.device)
    for m in models:
        m.eval()

    def mean_probabilities(x):
        p = 0
        for m in models:
            p = p + torch.softmax(m(x).float(), -1)
        return p / len(models)
    spans = windows(n, c, c // 2)
    for i in range(0, len(spans), batch):
        part = spans[i:i + batch]
        x = torch.stack([F.pad(ids[b:e], (0, c - (e - b))) for b, e, _ in part]).long()
        with autocast(ids.device):
            p = mean_probabilities(x)
        value, index = p.topk(TOPK, dim=-1)
        for v, j, (b, e, first) in zip(value, index, part):
            prob[first:e] = v[first - b - 1:e - b - 1].half()
            top[first:e] = j[first - b - 1:e - b - 1].short()
    return top, prob


@torch.no_grad()
def ensemble_loss(models, ids):
    """The strided loss of the averaged teachers."""
    c, total = models[0].size.context, 0.0
    for b, e, first in windows(len(ids), c, c // 2):
        x = ids[None, b:e].long()
        with autocast(ids.device):
            p = sum(torch.softmax(m(x)[0].float(), -1) for m in models) / len(models)
        total += F.nll_loss(p[first - b - 1:e - b - 1].log(), ids[first:e].long(), reduction="sum").item()
    return total / (len(ids) - 1)


# ------------------------------------------------------------------------------------------------------ export

def export(model, tok, out, shard_bytes=14_500_000):
    """Write the folder as models are published: bf16 shards, index, config, tokenizer."""
    from safetensors.torch import save_file
    os.makedirs(out, exist_ok=True)
    for old in os.listdir(out):
        if old.endswith(".safetensors"):
            os.remove(os.path.join(out, old))
    shards, used = [{}], 0
    for k, v in model.state_dict().items():
        v = v.detach().to("cpu", torch.bfloat16).contiguous()
        if used + v.nbytes > shard_bytes:
            shards.append({})
            used = 0
        shards[-1][k] = v
        used += v.nbytes
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        save_file(shard, os.path.join(out, name), metadata={"format": "pt"})
        os.chmod(os.path.join(out, name), 0o644)
        weight_map.update({k: name for k in shard})
    s = model.size
    total = sum(v.nbytes for shard in shards for v in shard.values())

    def write(name, value):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=2, ensure_ascii=False)
            f.write("\n")
    write("model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    write("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": s.vocab,
        "hidden_size": s.width, "intermediate_size": s.ffn, "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads, "head_dim": s.width // s.heads,
        "hidden_act": "silu", "max_position_embeddings": s.context, "rms_norm_eps": s.eps, "rope_theta": s.theta,
        "rope_scaling": None, "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
        "tie_word_embeddings": True, "initializer_range": 0.02, "bos_token_id": EOT_ID, "eos_token_id": EOT_ID,
        "torch_dtype": "bfloat16", "use_cache": True})
    write("generation_config.json", {
        "bos_token_id": EOT_ID, "eos_token_id": EOT_ID, "pad_token_id": EOT_ID, "do_sample": True,
        "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.05, "repetition_penalty": 1.1,
        "max_new_tokens": 400})
    tok.save(os.path.join(out, "tokenizer.json"))
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": s.context, "bos_token": EOT,
        "eos_token": EOT, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(EOT_ID): {"content": EOT, "lstrip": True, "normalized": False, "rstrip": True,
                                               "single_word": False, "special": True}}})


# ----------------------------------------------------------------------------------- evaluation of a folder

def load_folder(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    return (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(),
            AutoTokenizer.from_pretrained(folder))


@torch.no_grad()
def evaluate(folder, path, context=1024, stride=512):
    """Held-out perplexity of the published weights in f32, and the greedy golden, into reference.json."""
    model, tok = load_folder(folder)
    text = read_text(path)
    ids = torch.tensor(tok(text)["input_ids"])
    nll, scored = 0.0, 0
    for i, (b, e, first) in enumerate(windows(len(ids), context, stride)):
        if i % 50 == 0:
            print(f"token {b} of {len(ids)}", flush=True)
        logits = model(ids[None, b:e]).logits[0, first - b - 1:e - b - 1]
        nll += F.cross_entropy(logits.double(), ids[first:e], reduction="sum").item()
        scored += e - first
    prompt = "Once upon a time"
    x = tok(prompt, return_tensors="pt")["input_ids"]
    prompt_ids, greedy = x[0].tolist(), []
    for _ in range(16):
        nxt = model(x).logits[0, -1].argmax()
        greedy.append(nxt.item())
        x = torch.cat((x, nxt.view(1, 1)), 1)
    result = {"file": os.path.basename(path), "perplexity": round(math.exp(nll / scored), 6),
              "nll_total": round(nll, 4), "scored_tokens": scored, "context": context, "stride": stride,
              "bits_per_byte": round(nll / math.log(2) / len(text.encode()), 6),
              "greedy": {"prompt": prompt, "prompt_ids": prompt_ids, "ids": greedy, "text": tok.decode(greedy)}}
    with open(os.path.join(folder, "reference.json"), "w") as f:
        json.dump(result, f, indent=2)
        f.write("\n")
    print(f"perplexity {result['perplexity']:.6f}  ({nll / scored:.6f} nats/token over {scored} tokens, "
          f"{result['bits_per_byte']:.6f} bits/byte)")
    print("greedy:", prompt + tok.decode(greedy))


@torch.no_grad()
def sample(folder, seeds, prompts, **settings):
    model, tok = load_folder(folder)
    for prompt in prompts:
        for seed in seeds:
            torch.manual_seed(seed)
            out = model.generate(**tok(prompt, return_tensors="pt", return_token_type_ids=False), **settings)
            print(f"\n----- prompt {prompt!r}, seed {seed}, {out.shape[1]} tokens\n"
                  f"{tok.decode(out[0], skip_special_tokens=True)}", flush=True)


# --------------------------------------------------------------------------------------------------------- main

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--train")
    a.add_argument("--valid")
    a.add_argument("--out", help="folder for the published model")
    a.add_argument("--log", help="write the training record (JSON) here")
    a.add_argument("--labels", help="file of the teachers' predictions: used if it exists, else written")
    a.add_argument("--tokenizer", help="use this tokenizer.json instead of training one")
    a.add_argument("--vocab", type=int, default=8192)
    a.add_argument("--context", type=int, default=1024)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--batch", type=int, default=32, help="rows of `context` tokens a step")
    a.add_argument("--size", default="384,8,6,2,960", help="student: width,layers,heads,kv heads,ffn")
    a.add_argument("--epochs", type=int, default=38)
    a.add_argument("--minutes", type=float, default=9)
    a.add_argument("--dropout", type=float, default=0.05)
    a.add_argument("--decay", type=float, default=0.3)
    a.add_argument("--muon-lr", type=float, default=0.02)
    a.add_argument("--adam-lr", type=float, default=0.004)
    a.add_argument("--text-share", type=float, default=0.2, help="weight of the text itself when distilling")
    a.add_argument("--teachers", type=int, default=2)
    a.add_argument("--teacher-size", default="640,10,10,10,1728")
    a.add_argument("--teacher-epochs", type=int, default=11)
    a.add_argument("--teacher-minutes", type=float, default=4, help="limit for each teacher")
    a.add_argument("--teacher-dropout", type=float, default=0.25)
    a.add_argument("--teacher-decay", type=float, default=0.5)
    a.add_argument("--evaluate", nargs=2, metavar=("FOLDER", "VALID"))
    a.add_argument("--sample", metavar="FOLDER")
    a.add_argument("--prompts", nargs="*", default=["", "Once upon a time"])
    a.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    a = a.parse_args()
    if a.evaluate:
        return evaluate(*a.evaluate)
    if a.sample:
        return sample(a.sample, a.seeds, a.prompts)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    begun = time.time()
    text, text_valid = read_text(a.train), read_text(a.valid)
    if a.tokenizer:
        from tokenizers import Tokenizer
        tok = Tokenizer.from_file(a.tokenizer)
    else:
        tok = train_tokenizer(text, a.vocab)
    ids, valid = encode(tok, text).to(device), encode(tok, text_valid).to(device)
    assert valid.tolist() == tok.encode(text_valid).ids
    per_byte = len(valid) / len(text_valid.encode()) / math.log(2)
    print(f"{len(ids)} training tokens, {len(valid)} validation tokens, {time.time() - begun:.0f} s", flush=True)

    log = []
    common = dict(muon_lr=a.muon_lr, adam_lr=a.adam_lr, batch=a.batch, log=log)
    more = dict(vocab=tok.get_vocab_size(), context=a.context)
    soft = None
    if a.labels and os.path.exists(a.labels):
        saved = torch.load(a.labels, map_location=device, weights_only=True)
        soft, log[:] = (saved["top"], saved["prob"]), saved["log"]
        assert len(soft[0]) == len(ids), "these labels are of another text or tokenizer"
    elif a.teachers:
        teachers = [train(f"teacher {i + 1}", Size.parse(a.teacher_size, **more), ids, valid,
                          epochs=a.teacher_epochs, minutes=a.teacher_minutes, dropout=a.teacher_dropout,
                          decay=a.teacher_decay, seed=a.seed + 100 + i, **common)[0] for i in range(a.teachers)]
        together = ensemble_loss(teachers, valid)
        t = time.time()
        soft = soft_labels(teachers, ids)
        print(f"teachers together: valid {together:.4f}; labels took {time.time() - t:.0f} s, "
              f"top {TOPK} hold {soft[1][1:].float().sum(-1).mean().item():.4f}", flush=True)
        log.append({"name": "teachers together", "best_valid": together})
        del teachers
        if a.labels:
            torch.save({"top": soft[0], "prob": soft[1], "log": log}, a.labels)
    if a.epochs == 0:
        return
    student, record = train("student", Size.parse(a.size, **more), ids, valid, epochs=a.epochs, minutes=a.minutes,
                            dropout=a.dropout, decay=a.decay, seed=a.seed, soft=soft,
                            text_share=a.text_share if soft else 1.0, **common)
    loss = record["best_valid"]
    print(f"best: {loss:.4f} nats/token, perplexity {math.exp(loss):.3f}, {loss * per_byte:.4f} bits/byte; "
          f"{time.time() - begun:.0f} s in all", flush=True)
    if a.out:
        export(student, tok, a.out)
    if a.log:
        with open(a.log, "w") as f:
            json.dump({"seconds": round(time.time() - begun), "train_tokens": len(ids), "valid_tokens": len(valid),
                       "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                       "torch": torch.__version__, "arguments": vars(a), "runs": log}, f, indent=1)


if __name__ == "__main__":
    main()
