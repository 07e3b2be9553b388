# lit suites: each .trl text holds RUN lines and the CHECK lines that FileCheck holds against the output.
import os
import sys
import lit.formats

config.name = 'trellis'
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = ['.trl', '.test']
config.excludes = ['Inputs', 'unit', 'bench']
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.trellis_build + '/tests'
config.environment['PATH'] = os.pathsep.join(
    [config.trellis_build + '/bin', config.llvm_tools, os.environ.get('PATH', '/usr/bin:/bin')])
for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'):
    if name in os.environ:
        config.environment[name] = os.environ[name]

# `%fails COMMAND`: the command must exit with status 1 and nothing else, so a crash or wrong usage is no expected error.
config.recursiveExpansionLimit = 3
config.substitutions.append(('%fails', config.exits + ' 1'))
# `%errors`: reading the test fails with the errors that it names, in order, and no others (echoed lines are indented).
config.substitutions.append(('%errors', "%fails trellis opt %s 2>&1 | FileCheck %s --implicit-check-not='{{^[^ ].*error:}}'"))
config.substitutions.append(('%misused', config.exits + ' 2'))
config.substitutions.append(('%python', sys.executable))
config.substitutions.append(('%lit', f'{sys.executable} {sys.argv[0]}'))
config.substitutions.append(('%path', config.environment['PATH']))
config.substitutions.append(('%build', config.trellis_build))
config.substitutions.append(('%source', os.path.dirname(config.test_source_root)))
if config.sanitizers:
    config.available_features.add('sanitized')
data = os.environ.get('TRELLIS_TESTDATA', os.path.join(config.test_source_root, '..', '..', 'shared'))
config.substitutions.append(('%testdata', data))
if os.path.isdir(data):
    config.available_features.add('testdata')
