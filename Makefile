# One command for each chore. `./ingot` itself builds what it needs; these are for working on Ingot.
.PHONY: build test bench format lint clean test-gpu bench-gpu

sources = git ls-files '*.h' '*.cc' '*.cu' '*.cuh'
scripts = ingot .ci/run tests/launcher/launcher_test.sh tools/build_gpu.sh tools/test_gpu.sh

build:
	cmake --preset release -DINGOT_TESTS=ON -DINGOT_BENCHMARKS=ON
	cmake --build --preset release

test:
	./ingot test

bench: build
	build/release/bin/bench_base
	build/release/bin/bench_text models/storyteller tests/data/fairytales-valid.txt
	build/release/bin/ingot bench

format:
	$(sources) | xargs clang-format-16 -i

lint: build
	python3 tools/check_includes.py
	shellcheck $(scripts)
	$(sources) | grep '\.cc$$' | grep -v '^tests/fuzz/' | xargs -P "$$(nproc)" -n 4 clang-tidy-16 -p build/release --quiet

clean:
	rm -rf build

# On a machine with an NVIDIA GPU: build with CUDA and run what needs one.
test-gpu:
	tools/test_gpu.sh

bench-gpu:
	tools/build_gpu.sh
	python3 tools/bench_gpu.py
