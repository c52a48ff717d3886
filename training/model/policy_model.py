"""The model under training: a frozen base with LoRA adapters, scored at labelled positions only.

The vocabulary is large and commands are short, so the head is computed only where there is a label:
for a 150k vocabulary that saves most of the memory and a good part of the time.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from torch.nn import functional

from coe_lsp.errors import CoeError
from training.model.encode import NO_LABEL
from training.settings import Lora


class TrainingError(CoeError):
    """Training cannot go on; what was saved before is good."""


class PolicyModel(torch.nn.Module):
    """A base model with an adapter. `forward` gives log-probabilities of labelled tokens."""

    def __init__(self, base: Any, lora: Lora) -> None:
        super().__init__()
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            target_modules="all-linear",
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )
        # The adapter's own weights stay in 32 bits whatever the base is in.
        self.peft = get_peft_model(base, config)
        self._dtype: torch.dtype = base.dtype

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        labels: torch.Tensor,
        positions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities (natural), entropies and hits of the labelled tokens, each flat.

        `mask` is 1 where there is a token, or (batch, 1, tokens, tokens) and true where one attends
        to another; then `positions` says where each stands.

        All three have one entry for each label, in the order of `labels[:, 1:]`; a hit is a label
        that is the likeliest token.
        """
        model: Any = self.peft.get_base_model()
        wanted = labels[:, 1:] != NO_LABEL
        with self._computing(ids.device.type):
            hidden = model.model(
                input_ids=ids, attention_mask=mask, position_ids=positions
            ).last_hidden_state
            logits = model.lm_head(hidden[:, :-1][wanted]).float()
        targets = labels[:, 1:][wanted]
        logprobs = functional.log_softmax(logits, dim=-1)
        chosen = logprobs.gather(1, targets[:, None])[:, 0]
        with torch.no_grad():
            entropy = -(logprobs.exp() * logprobs).sum(-1)
            hits = logits.argmax(-1) == targets
        return chosen, entropy, hits

    @contextmanager
    def _computing(self, device: str) -> Generator[None]:
        """The adapter computes in the base's type: peft would widen all activations for it.

        With a base in bfloat16 that is 1.4 times as fast on a CPU; gradients end in 32 bits.
        """
        half = self._dtype in (torch.bfloat16, torch.float16)
        with (
            torch.autocast(device, dtype=self._dtype, enabled=half),
            disable_input_dtype_casting(self.peft, active=half),
        ):
            yield

    def copy_merged(self) -> Any:
        """A copy of the base with the adapter merged into it, as large as the base.

        It samples faster than the model with the adapter beside. What the adapter adds is rounded
        to the base's type, as it is in the model that is served.
        """
        return deepcopy(self.peft).merge_and_unload(adapter_names=["default"])

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The adapter's weights by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def clip_gradients(self, most: float) -> None:
        """Scale the gradients down to a norm of at most `most`.

        TrainingError if one is not a finite number: a step would make the adapter worthless.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.trainable().values(), most)
        if not norm.isfinite():
            raise TrainingError(
                "A gradient is not a finite number. Run the same command again to go on from the "
                "last checkpoint; if it happens again, start anew with a lower learning rate and "
                "another `out`."
            )

    def adapter_state(self) -> dict[str, torch.Tensor]:
        """The adapter in peft's names."""
        return get_peft_model_state_dict(self.peft, save_embedding_layers=False)

    def load_adapter_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put an adapter in place. RuntimeError if shapes do not fit, KeyError for names."""
        found = set_peft_model_state_dict(self.peft, state)
        if found.unexpected_keys:
            raise KeyError(found.unexpected_keys[0])
