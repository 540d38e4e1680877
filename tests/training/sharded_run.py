"""Calls of `triglot` under FSDP2 on a CPU, for torchrun: accelerate shards on accelerators alone, and is told here that this is one.

python -m torch.distributed.run --nproc-per-node 2 sharded_run.py 'JSON list of lists of words'
"""

import json
import sys

from accelerate import PartialState
from accelerate.utils import DistributedType

from triglot.cli import main

begin = PartialState.__init__


def begin_as_accelerator(self, *args, **kwargs):
    begin(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = begin_as_accelerator  # type: ignore[method-assign]

if __name__ == "__main__":
    for words in json.loads(sys.argv[1]):
        if code := main(words):
            sys.exit(code)
