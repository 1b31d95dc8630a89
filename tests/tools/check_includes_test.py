"""tools/check_includes.py on small made-up trees."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check_includes.py"


class CheckIncludes(unittest.TestCase):
    def run_on(self, files):
        """Exit status and output lines for a tree of {path: text}."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                target = Path(root, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            done = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True, check=False)
            self.assertEqual(done.stderr, "")
            return done.returncode, done.stdout.splitlines()

    def assert_clean(self, files):
        self.assertEqual(self.run_on(files), (0, []))

    def assert_wrong(self, files, *lines):
        self.assertEqual(self.run_on(files), (1, list(lines)))

    HEADERS = {
        path: ""
        for path in (
            "include/ingot/error.h", "src/base/check.h", "src/dtype/f16.h", "src/memory/buffer.h",
            "src/graph/graph.h", "src/backend/backend.h", "src/backend/cpu/device.h", "src/backend/null/device.h",
            "src/exec/plan.h", "src/model/llama.h", "src/text/bpe.h", "src/format/json.h", "src/opcases/add.h",
        )
    }

    def test_everyone_may_include_level_zero_and_base(self):
        use = '#include "ingot/error.h"\n#include "base/check.h"\n'
        self.assert_clean(self.HEADERS | {"src/graph/a.cc": use, "apps/cli/main.cc": use, "src/base/a.cc": use})

    def test_permissions_are_transitive(self):
        use = '#include "memory/buffer.h"\n#include "dtype/f16.h"\n#include "graph/graph.h"\n'
        self.assert_clean(self.HEADERS | {"src/exec/a.cc": use})

    def test_upward_include_is_named_with_its_line(self):
        self.assert_wrong(
            self.HEADERS | {"src/graph/ops/a.cc": '#include <vector>\n\n#include "exec/plan.h"\n'},
            "src/graph/ops/a.cc:3: src/graph may not include src/exec/plan.h",
        )

    def test_angle_brackets_relative_paths_and_spaces_hide_nothing(self):
        self.assert_wrong(
            self.HEADERS | {"src/text/a.cc": '#include <graph/graph.h>\n # include  "../memory/buffer.h"\n'},
            "src/text/a.cc:1: src/text may not include src/graph/graph.h",
            "src/text/a.cc:2: src/text may not include src/memory/buffer.h",
        )

    def test_backends_may_not_include_each_other_but_the_registry_includes_all(self):
        self.assert_wrong(
            self.HEADERS
            | {
                "src/backend/cpu/a.cc": '#include "backend/backend.h"\n#include "backend/null/device.h"\n',
                "src/backend/registry.cc": '#include "backend/cpu/device.h"\n',
                "src/backend/other.cc": '#include "backend/cpu/device.h"\n',
            },
            "src/backend/cpu/a.cc:2: src/backend/cpu may not include src/backend/null/device.h",
            "src/backend/other.cc:1: src/backend may not include src/backend/cpu/device.h",
        )

    def test_public_headers_include_public_headers_only(self):
        self.assert_wrong(
            self.HEADERS | {"include/ingot/llm.h": '#include "ingot/error.h"\n#include "base/check.h"\n'},
            "include/ingot/llm.h:2: include/ingot may not include src/base/check.h",
        )

    def test_apps_see_the_public_api_and_the_command_line_the_op_cases(self):
        use = '#include "opcases/add.h"\n#include "model/llama.h"\n'
        self.assert_wrong(
            self.HEADERS | {"apps/cli/a.cc": use, "apps/server/a.cc": use},
            "apps/cli/a.cc:2: apps/cli may not include src/model/llama.h",
            "apps/server/a.cc:1: apps/server may not include src/opcases/add.h",
            "apps/server/a.cc:2: apps/server may not include src/model/llama.h",
        )

    def test_dtype_is_freestanding(self):
        self.assert_wrong(
            self.HEADERS | {"src/dtype/q4.h": '#include <cstdint>\n#include <cstring>\n#include "base/check.h"\n'},
            "src/dtype/q4.h:2: src/dtype is freestanding and may not include <cstring>",
            "src/dtype/q4.h:3: src/dtype may not include src/base/check.h",
        )

    def test_device_sources_include_dtype_and_their_own_folder(self):
        self.assert_wrong(
            self.HEADERS
            | {
                "src/backend/cuda/norm.cuh": "",
                "src/backend/cuda/norm.cu": '#include "backend/cuda/norm.cuh"\n#include "dtype/f16.h"\n'
                '#include "graph/graph.h"\n',
            },
            "src/backend/cuda/norm.cu:3: src/backend/cuda may not include src/graph/graph.h",
        )

    def test_folder_that_is_not_listed_is_an_error(self):
        self.assert_wrong(
            {"src/util/a.cc": "", "src/backend/vulkan/a.cc": "", "a.cc": ""},
            "a.cc: its folder is not listed in tools/check_includes.py",
            "src/backend/vulkan/a.cc: its folder is not listed in tools/check_includes.py",
            "src/util/a.cc: its folder is not listed in tools/check_includes.py",
        )

    def test_tests_and_builds_are_free(self):
        use = '#include "exec/plan.h"\n'
        self.assert_clean(self.HEADERS | {"tests/text/a.cc": use, "bench/a.cc": use, "build/x/src/a.cc": use})


if __name__ == "__main__":
    unittest.main()
