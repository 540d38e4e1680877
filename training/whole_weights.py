"""Weights that lie in shards on many ranks (FSDP2, arXiv 2304.11277; DeepSpeed ZeRO, arXiv 1910.02054) -> one whole model.

    before sharding:  model ─ skeleton_of ─▶ the same modules on "meta", of no size
    after training:   shards of all ranks ─ gathered_state ─▶ whole tensors on the CPU of rank 0 ─ copy_with ─▶ a plain model

A sharded model cannot be copied, and its classes are others than those that are to be saved: hence the skeleton.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import Trainer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config


def skeleton_of(model: nn.Module) -> Any:
    """A copy whose parameters have no storage; buffers are copied."""
    return copy_with(model, {name: weight.detach().to("meta") for name, weight in model.named_parameters()})


def copy_with(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Any:
    """A copy of a model with other tensors in it; weights that are tied stay so.

    Args:
        model: Not yet sharded.
        tensors: {name: tensor} of all its parameters, and of buffers that are not to be copied.
    """
    known: dict[int, Any] = {}
    for name, weight in model.named_parameters():
        known[id(weight)] = nn.Parameter(tensors[name], requires_grad=weight.requires_grad)
    for name, buffer in model.named_buffers():
        if name in tensors:
            known[id(buffer)] = tensors[name]
    return copy.deepcopy(model, known)


def gathered_state(trainer: Trainer) -> Mapping[str, Any]:
    """The whole state dict on rank 0; empty or unused on the others. To be called on all ranks at once."""
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model = trainer.accelerator.unwrap_model(trainer.model)
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def gathered(trainer: Trainer, skeleton: nn.Module) -> Any:
    """The trained model with whole weights on the CPU, or None on all ranks but the first. To be called on all ranks at once.

    Args:
        trainer: Done with training.
        skeleton: Of its model, made before the trainer sharded it.
    """
    state = gathered_state(trainer)
    if trainer.is_deepspeed_enabled:
        unset_hf_deepspeed_config()  # under ZeRO-3 all ranks load a model together; from here on the first loads alone
    if not trainer.is_world_process_zero():
        return None
    dtypes = {
        name: weight.dtype for name, weight in skeleton.named_parameters()
    }  # DeepSpeed gathers in half precision
    whole = {name: tensor.to("cpu", dtypes.get(name, tensor.dtype)) for name, tensor in state.items()}
    return copy_with(skeleton, whole).cpu()
