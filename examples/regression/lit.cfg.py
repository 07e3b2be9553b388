# Regression tests for models of your own. Copy this folder, put your models and tests into it and run
#   lit -v .        (of LLVM: /usr/lib/llvm-19/build/utils/lit/lit.py, or `pip install lit`)
# A test is any .test or .trl file with RUN lines; FileCheck holds the output against its CHECK lines.
import os
import shutil
import lit.formats

config.name = 'models'
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = ['.test', '.trl']
config.test_source_root = os.path.dirname(__file__)
# Where `%t` files go; TRELLIS_TEST_OUTPUT keeps them out of the sources.
config.test_exec_root = os.environ.get('TRELLIS_TEST_OUTPUT', config.test_source_root)

path = os.environ.get('PATH', '') + os.pathsep + '/usr/lib/llvm-19/bin'
for tool in ('trellis', 'FileCheck'):
    if not shutil.which(tool, path=path):
        lit_config.fatal(f'{tool} is not on PATH')
config.environment['PATH'] = path
