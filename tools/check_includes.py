#!/usr/bin/env python3
"""Names every #include that points the wrong way (docs/architecture.md, "Folders, and who may include whom").

Usage: check_includes.py [ROOT]. Exit status 1 if there is one, or a source in a folder that is not listed here.
"""

import re
import sys
from pathlib import Path

# Folder: the folders it may include beside itself. What those may include, it may include too; everyone may
# include include/ingot and src/base.
MAY_INCLUDE = {
    "include/ingot": [],
    "src/base": [],
    "src/dtype": [],
    "src/memory": ["src/dtype"],
    "src/format": ["src/dtype"],
    "src/graph": ["src/memory"],
    "src/backend": ["src/graph"],  # the interface; its registry.* lists every backend
    "src/backend/cpu": ["src/backend"],
    "src/backend/cuda": ["src/backend"],
    "src/backend/metal": ["src/backend"],
    "src/backend/null": ["src/backend"],
    "src/fuse": ["src/graph", "src/backend"],
    "src/exec": ["src/fuse", "src/backend", "src/opcases"],
    "src/kv": ["src/memory"],
    "src/text": ["src/format"],
    "src/model": ["src/graph", "src/format", "src/kv"],
    "src/serve": ["src/exec", "src/kv", "src/model", "src/text"],
    "src/api": ["src/serve", "src/backend/cpu", "src/backend/cuda", "src/backend/metal", "src/backend/null"],
    "src/opcases": ["src/graph"],
    "apps/cli": ["src/opcases"],
    "apps/server": [],
    "bindings/python": [],
    "examples": [],
}
# The one header outside itself that src/dtype may include: the formats' names and block sizes.
FORMATS_ENUM = "include/ingot/dtype.h"
ANYTHING = ("tests", "bench")
EVERYONE = {"include/ingot", "src/base"}
# The headers a compiler has without a standard library, which device compilers have too.
FREESTANDING = {"stdint.h", "stddef.h", "float.h", "limits.h", "cstdint", "cstddef", "cfloat", "climits"}
SUFFIXES = {".h", ".cc", ".cu", ".cuh", ".metal", ".mm"}
DEVICE_SUFFIXES = {".cu", ".cuh", ".metal"}
INCLUDE = re.compile(r'^\s*#\s*(?:include|import)\s*["<]([^">]+)[">]', re.MULTILINE)


def folder_of(path: Path):
    """The listed folder that holds `path` (relative to the root), the innermost one; None if none does."""
    for parent in path.parents:
        if parent.as_posix() in MAY_INCLUDE or parent.as_posix() in ANYTHING:
            return parent.as_posix()
        if parent.parent.as_posix() == "src/backend":  # a backend that is not listed, not part of the interface
            return None
    return None


def permitted(folder: str, path: Path) -> set:
    """The folders that the file `path` of `folder` may include."""
    if folder == "include/ingot":
        return {folder}
    if folder == "src/dtype" or path.suffix in DEVICE_SUFFIXES:
        return {folder, "src/dtype", "include/ingot"}
    if folder == "src/base":
        return set(EVERYONE)
    reached, waiting = set(EVERYONE), [folder]
    if folder == "src/backend" and path.stem == "registry":
        waiting += [name for name in MAY_INCLUDE if name.startswith("src/backend/")]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += MAY_INCLUDE[name]
    return reached


def resolve(root: Path, path: Path, name: str):
    """The file of this tree that `#include "name"` in `path` means, relative to the root; None for others."""
    for base in (root / path.parent, root / "include", root / "src", root):
        target = (base / name).resolve()
        if target.is_file() and target.is_relative_to(root):
            return target.relative_to(root)
    return None


def check(root: Path) -> list:
    root = root.resolve()
    errors = []
    sources = sorted(path.relative_to(root) for path in root.rglob("*") if path.suffix in SUFFIXES)
    for path in sources:
        if path.parts[0] == "build" or any(part.startswith(".") for part in path.parts):
            continue
        folder = folder_of(path)
        if folder is None:
            errors.append(f"{path}: its folder is not listed in tools/check_includes.py")
            continue
        if folder in ANYTHING:
            continue
        allowed = permitted(folder, path)
        text = (root / path).read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            name = match.group(1)
            target = resolve(root, path, name)
            where = f"{path}:{text.count(chr(10), 0, match.start(1)) + 1}"
            if target is None:
                if folder == "src/dtype" and name not in FREESTANDING:
                    errors.append(f"{where}: src/dtype is freestanding and may not include <{name}>")
            elif folder == "src/dtype" and target.as_posix() == FORMATS_ENUM:
                continue
            elif folder_of(target) not in allowed:
                errors.append(f"{where}: {folder} may not include {target}")
    return errors


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)
