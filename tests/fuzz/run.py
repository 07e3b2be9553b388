#!/usr/bin/env python3
"""Fuzzes the importer: run.py FUZZ_ONNX SECONDS [CORPUS]

Seeds are the models of tests/onnx and tests/tools, as text with protoc, and the small ones of TRELLIS_TESTDATA's cases.
What is found new is kept in CORPUS (default: a folder that is dropped). Exit status 1 where an input crashed; the input
then lies in the working directory.
"""
import glob, os, subprocess, sys, tempfile

LARGEST = 16384
here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
fuzzer, seconds = os.path.abspath(sys.argv[1]), int(sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    seeds, corpus = folder + '/seeds', sys.argv[3] if len(sys.argv) > 3 else folder + '/corpus'
    os.makedirs(seeds)
    os.makedirs(corpus, exist_ok=True)
    for test in glob.glob(root + '/tests/onnx/*.test') + glob.glob(root + '/tests/tools/*.test'):
        with open(test, 'rb') as text:
            if b'\nir_version' not in text.read():
                continue
            text.seek(0)
            with open(f'{seeds}/{os.path.basename(test)}', 'wb') as out:
                subprocess.run(['protoc', '--encode=trellis.onnx.ModelProto', f'-I{root}/compiler/onnx', 'onnx.proto'], stdin=text, stdout=out, check=True)
    data = os.environ.get('TRELLIS_TESTDATA', root + '/../shared')
    for model in glob.glob(data + '/onnx/*/*/model.onnx'):
        if os.path.getsize(model) <= LARGEST:
            os.symlink(os.path.abspath(model), f'{seeds}/{os.path.basename(os.path.dirname(model))}')
    print(f'{len(os.listdir(seeds))} seeds')
    sys.stdout.flush()
    command = [fuzzer, f'-max_total_time={seconds}', f'-max_len={LARGEST}', '-timeout=20', '-rss_limit_mb=3072', '-print_final_stats=1', '-verbosity=1']
    sys.exit(1 if subprocess.run(command + [corpus, seeds]).returncode else 0)
