# A checkpoint of scaled.trl as `train` writes it after a table of two columns, the second always 1000: w is the identity.
import json, struct, sys
header = json.dumps({'__metadata__': {'model': 'scaled', 'loss': 'mse', 'scaling.mean': '10 1000', 'scaling.deviation': '4 1'},
                     'w': {'dtype': 'F32', 'shape': [2, 2], 'data_offsets': [0, 16]}})
header += ' ' * (-len(header) % 8)
sys.stdout.buffer.write(struct.pack('<Q', len(header)) + header.encode() + struct.pack('<4f', 1, 0, 0, 1))
