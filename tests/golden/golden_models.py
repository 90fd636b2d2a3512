"""The golden models that generate.py makes: their configurations, seeds and classes."""
import transformers
from transformers.modeling_layers import GenericForSequenceClassification

# The token ids need no beginning or end of sequence, and no pad id may exist: a sequence is run as it stands.
NO_SPECIAL_TOKENS = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)

LLAMA_SHAPE = dict(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    **NO_SPECIAL_TOKENS,
)


ENCODER_SHAPE = dict(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=40,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    layer_norm_eps=1e-3,
    **NO_SPECIAL_TOKENS,
)

# Windows of four tokens on each side, shorter than most sequences.
MODERN_SHAPE = dict(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=40,
    layer_types=["full_attention", "sliding_attention", "full_attention"],
    local_attention=8,
    norm_eps=1e-3,
    cls_token_id=None,
    sep_token_id=None,
    **NO_SPECIAL_TOKENS,
)

DEBERTA_SHAPE = {
    **ENCODER_SHAPE,
    "relative_attention": True,
    "position_buckets": 8,
    "max_relative_positions": 20,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
    "pooler_dropout": 0.0,
    "pooler_hidden_size": 16,
}

# The token behind whose first occurrence the second segment of a sequence begins.
SEPARATORS = {"bert": 7, "electra": 9, "albert": 11, "deberta_apart": 13}


def with_rope(**rope):
    return {**LLAMA_SHAPE, "rope_parameters": {"rope_theta": 10000.0, **rope}}


def llama(**changes):
    return transformers.LlamaConfig(**{**with_rope(rope_type="default"), **changes})


# With the usual 1e-5 or 1e-6 a wrong epsilon would hide near the tolerance of the tests.
BIG_EPSILON = 1e-3
WIDE_HEADS = dict(head_dim=16, num_attention_heads=2, num_key_value_heads=1)


# name: (seed, configuration, class of the model). "ForSequenceClassification" has num_labels = 1.
def classifier_of(base):
    """What transformers has for other architectures: the model under a linear map of the last token."""
    name = base.__name__.replace("PreTrainedModel", "ForSequenceClassification")
    return type(name, (GenericForSequenceClassification, base), {"__module__": __name__})


MODELS = {
    "llama": (
        101,
        lambda: llama(
            vocab_size=96, hidden_size=32, intermediate_size=40, num_hidden_layers=3, tie_word_embeddings=False
        ),
        transformers.LlamaForSequenceClassification,
    ),
    "llama_rope_linear": (
        102,
        lambda: llama(rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.5)),
        transformers.LlamaForSequenceClassification,
    ),
    # The original context is so short that all three regions of the rule are used: kept, blended, divided.
    "llama_rope_llama3": (
        103,
        lambda: llama(
            rope_parameters=dict(
                rope_type="llama3",
                rope_theta=10000.0,
                factor=4.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=64,
            ),
            max_position_embeddings=256,
            **WIDE_HEADS,
        ),
        transformers.LlamaForSequenceClassification,
    ),
    "llama_rope_yarn": (
        104,
        lambda: llama(
            rope_parameters=dict(
                rope_type="yarn",
                rope_theta=10000.0,
                factor=4.0,
                beta_fast=8.0,
                beta_slow=1.0,
                original_max_position_embeddings=64,
            ),
            max_position_embeddings=256,
            **WIDE_HEADS,
        ),
        transformers.LlamaForSequenceClassification,
    ),
    # Biases everywhere that Llama can have them (attention_bias also on the output projection, mlp_bias).
    "llama_biases": (
        105,
        lambda: llama(attention_bias=True, mlp_bias=True, num_key_value_heads=4, tie_word_embeddings=True),
        transformers.LlamaForSequenceClassification,
    ),
    "qwen2": (
        106,
        lambda: transformers.Qwen2Config(
            **{
                **with_rope(rope_type="default", rope_theta=1000000.0),
                "rms_norm_eps": BIG_EPSILON,
                "tie_word_embeddings": True,
                "use_sliding_window": False,
            }
        ),
        transformers.Qwen2ForSequenceClassification,
    ),
    # head_dim 8 where hidden / heads is 4: the query projection is wider than the hidden state.
    "qwen3": (
        107,
        lambda: transformers.Qwen3Config(
            **{
                **with_rope(rope_type="default", rope_theta=1000000.0),
                "head_dim": 8,
                "rms_norm_eps": BIG_EPSILON,
                "tie_word_embeddings": True,
                "use_sliding_window": False,
            }
        ),
        transformers.Qwen3ForSequenceClassification,
    ),
    "mistral": (
        108,
        lambda: transformers.MistralConfig(
            **{
                **with_rope(rope_type="default"),
                "num_key_value_heads": 1,
                "sliding_window": None,
                "tie_word_embeddings": False,
            }
        ),
        transformers.MistralForSequenceClassification,
    ),
    "gpt2": (
        109,
        lambda: transformers.GPT2Config(
            vocab_size=80,
            n_positions=32,
            n_embd=24,
            n_layer=3,
            n_head=3,
            activation_function="gelu_new",
            layer_norm_epsilon=BIG_EPSILON,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            **NO_SPECIAL_TOKENS,
        ),
        transformers.GPT2ForSequenceClassification,
    ),
    # Windows shorter than the sequences, everywhere.
    "mistral_window": (
        112,
        lambda: transformers.MistralConfig(
            **{**with_rope(rope_type="default"), "sliding_window": 5, "tie_word_embeddings": False}
        ),
        transformers.MistralForSequenceClassification,
    ),
    # Windows in the second layer alone.
    "qwen2_window": (
        113,
        lambda: transformers.Qwen2Config(
            **{
                **with_rope(rope_type="default"),
                "use_sliding_window": True,
                "sliding_window": 4,
                "max_window_layers": 1,
            }
        ),
        transformers.Qwen2ForSequenceClassification,
    ),
    "qwen3_moe": (
        130,
        lambda: transformers.Qwen3MoeConfig(
            **{
                **with_rope(rope_type="default"),
                "num_hidden_layers": 3,
                "head_dim": 4,
                "rms_norm_eps": BIG_EPSILON,
                "num_experts": 5,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 12,
                "norm_topk_prob": True,
                "mlp_only_layers": [1],
            }
        ),
        transformers.Qwen3MoeForSequenceClassification,
    ),
    # The weights of the chosen experts are what softmax over all gave them.
    "qwen3_moe_shares": (
        115,
        lambda: transformers.Qwen3MoeConfig(
            **{
                **with_rope(rope_type="default"),
                "head_dim": 4,
                "num_experts": 4,
                "num_experts_per_tok": 3,
                "moe_intermediate_size": 8,
                "norm_topk_prob": False,
                "decoder_sparse_step": 2,
            }
        ),
        transformers.Qwen3MoeForSequenceClassification,
    ),
    "gemma": (
        116,
        lambda: transformers.GemmaConfig(**{**with_rope(rope_type="default"), "head_dim": 6}),
        transformers.GemmaForSequenceClassification,
    ),
    # Caps low enough to bend the scores; a scale that is not the head's.
    "gemma2": (
        117,
        lambda: transformers.Gemma2Config(
            **{
                **with_rope(rope_type="default"),
                "num_hidden_layers": 3,
                "head_dim": 6,
                "query_pre_attn_scalar": 9,
                "attn_logit_softcapping": 2.0,
                "sliding_window": 5,
            }
        ),
        transformers.Gemma2ForSequenceClassification,
    ),
    "gemma3_text": (
        118,
        lambda: transformers.Gemma3TextConfig(
            **{
                **LLAMA_SHAPE,
                "rope_parameters": {
                    "full_attention": dict(rope_type="linear", factor=4.0, rope_theta=1000000.0),
                    "sliding_attention": dict(rope_type="default", rope_theta=10000.0),
                },
                "num_hidden_layers": 3,
                "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
                "head_dim": 6,
                "query_pre_attn_scalar": 6,
                "sliding_window": 5,
            }
        ),
        transformers.Gemma3TextForSequenceClassification,
    ),
    "phi3": (
        119,
        lambda: transformers.Phi3Config(
            **{
                **LLAMA_SHAPE,
                "hidden_size": 32,
                "rope_parameters": dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5),
                "sliding_window": 7,
            }
        ),
        transformers.Phi3ForSequenceClassification,
    ),
    "smollm3": (
        120,
        lambda: transformers.SmolLM3Config(
            **{
                **with_rope(rope_type="default", rope_theta=2000000.0),
                "num_hidden_layers": 3,
                "no_rope_layers": [1, 0, 1],
                "attention_bias": True,
                "mlp_bias": True,
            }
        ),
        transformers.SmolLM3ForSequenceClassification,
    ),
    "olmo": (
        121,
        lambda: transformers.OlmoConfig(**with_rope(rope_type="default")),
        classifier_of(transformers.OlmoPreTrainedModel),
    ),
    "olmo2": (
        122,
        lambda: transformers.Olmo2Config(**with_rope(rope_type="default")),
        classifier_of(transformers.Olmo2PreTrainedModel),
    ),
    "olmo3": (
        123,
        lambda: transformers.Olmo3Config(
            **{
                **LLAMA_SHAPE,
                "rope_parameters": {
                    "full_attention": dict(rope_type="linear", factor=2.0, rope_theta=500000.0),
                    "sliding_attention": dict(rope_type="default", rope_theta=500000.0),
                },
                "layer_types": ["sliding_attention", "full_attention"],
                "sliding_window": 4,
            }
        ),
        transformers.Olmo3ForSequenceClassification,
    ),
    "gpt_neox": (
        124,
        lambda: transformers.GPTNeoXConfig(
            **{
                **LLAMA_SHAPE,
                "rope_parameters": dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25),
                "hidden_size": 32,
                "layer_norm_eps": BIG_EPSILON,
                "hidden_dropout": 0.0,
                "attention_dropout": 0.0,
            }
        ),
        transformers.GPTNeoXForSequenceClassification,
    ),
    "gpt_neox_serial": (
        125,
        lambda: transformers.GPTNeoXConfig(
            **{
                **LLAMA_SHAPE,
                "rope_parameters": dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=1.0),
                "use_parallel_residual": False,
                "hidden_act": "gelu_new",
            }
        ),
        transformers.GPTNeoXForSequenceClassification,
    ),
    "bert": (132, lambda: transformers.BertConfig(**ENCODER_SHAPE), transformers.BertForSequenceClassification),
    "roberta": (
        133,
        lambda: transformers.RobertaConfig(**{**ENCODER_SHAPE, "type_vocab_size": 1, "pad_token_id": 1}),
        transformers.RobertaForSequenceClassification,
    ),
    "electra": (
        134,
        lambda: transformers.ElectraConfig(**{**ENCODER_SHAPE, "embedding_size": 12}),
        transformers.ElectraForSequenceClassification,
    ),
    "albert": (
        135,
        lambda: transformers.AlbertConfig(
            **{**ENCODER_SHAPE, "embedding_size": 12, "hidden_act": "gelu_new", "classifier_dropout_prob": 0.0}
        ),
        transformers.AlbertForSequenceClassification,
    ),
    "distilbert": (
        136,
        lambda: transformers.DistilBertConfig(
            vocab_size=64, dim=16, hidden_dim=24, n_layers=2, n_heads=4, max_position_embeddings=40, dropout=0.0,
            attention_dropout=0.0, seq_classif_dropout=0.0, **NO_SPECIAL_TOKENS
        ),
        transformers.DistilBertForSequenceClassification,
    ),
    "modernbert": (
        137,
        lambda: transformers.ModernBertConfig(**MODERN_SHAPE),
        transformers.ModernBertForSequenceClassification,
    ),
    "modernbert_mean": (
        138,
        lambda: transformers.ModernBertConfig(**{**MODERN_SHAPE, "classifier_pooling": "mean"}),
        transformers.ModernBertForSequenceClassification,
    ),
    # As v3: buckets, of which sequences of 24 tokens reach the wide ones, and places projected as tokens are.
    "deberta": (
        139,
        lambda: transformers.DebertaV2Config(**DEBERTA_SHAPE),
        transformers.DebertaV2ForSequenceClassification,
    ),
    "deberta_apart": (
        140,
        lambda: transformers.DebertaV2Config(
            **{
                **DEBERTA_SHAPE,
                "share_att_key": False,
                "norm_rel_ebd": "none",
                "position_buckets": -1,
                "max_relative_positions": 12,
                "position_biased_input": True,
                "type_vocab_size": 2,
            }
        ),
        transformers.DebertaV2ForSequenceClassification,
    ),
    # A Llama, whose files are then written as InternLM2's own code has them: see as_internlm2.
    "internlm2": (131, lambda: llama(num_hidden_layers=2), transformers.LlamaForSequenceClassification),
    # Language models: logits at the last token, for tied and untied embeddings.
    "llama_lm_tied": (110, lambda: llama(tie_word_embeddings=True), transformers.LlamaForCausalLM),
    "llama_lm_untied": (111, lambda: llama(tie_word_embeddings=False), transformers.LlamaForCausalLM),
}
