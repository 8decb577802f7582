"""fairseq's documented command lines, with the command exchanged."""

import shlex
from typing import Any

import pytest

from auricle.config.load import as_mapping, load_recipe
from auricle.config.overrides import Flag, sort_words

WAV2VEC = """corpus --save-dir M --num-workers 6 --fp16 --max-update 400000 --save-interval 1
    --no-epoch-checkpoints --arch wav2vec --task audio_pretraining --min-lr 1e-06 --stop-min-lr 1e-09
    --optimizer adam --lr 0.005 --lr-scheduler cosine
    --conv-feature-layers '[(512, 10, 5), (512, 8, 4), (512, 4, 2), (512, 4, 2), (512, 4, 2)]'
    --conv-aggregator-layers '[(512, 2, 1), (512, 3, 1)]' --skip-connections-agg --residual-scale 0.5
    --log-compression --warmup-updates 500 --warmup-init-lr 1e-07 --criterion wav2vec --num-negatives 10
    --max-sample-size 150000 --max-tokens 1500000 --skip-invalid-size-inputs-valid-test"""
VQ = (
    WAV2VEC.replace("--lr 0.005", "--lr 1e-05").replace(
        "--log-compression", "--activation gelu --offset auto"
    )
    + """ --log-keys '["prob_perplexity","code_perplexity","temp"]' --vq-type gumbel --vq-groups 2
    --vq-depth 2 --combine-groups --vq-vars 320 --vq-temp '(2,0.5,0.999995)' --prediction-steps 12
    --cross-sample-negatives 0 --update-freq 1 --seed 2"""
)
KMEANS = VQ.replace("--vq-type gumbel", "--vq-type kmeans") + " --loss-weights '[1]'"

CODES = """codes --save-dir M --keep-last-epochs 1 --tensorboard-logdir tensorboard --train-subset train
    --num-workers 4 --task masked_lm --criterion masked_lm --arch roberta_base --sample-break-mode eos
    --tokens-per-sample 3072 --max-positions 6144 --optimizer adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-06
    --clip-norm 0.0 --lr-scheduler polynomial_decay --lr 0.0005 --total-num-update 250000
    --warmup-updates 10000
    --dropout 0.1 --attention-dropout 0.1 --weight-decay 0.01 --mask-multiple-length 10 --mask-prob 0.5
    --mask-stdev 10 --max-tokens 4096 --update-freq 4 --max-update 250000 --seed 5 --log-format simple
    --log-interval 10 --skip-invalid-size-inputs-valid-test"""
WORDS = """words --task language_modeling --save-dir M --arch transformer_lm_wiki103 --max-update 286000
    --lr 1.0 --t-mult 2 --lr-period-updates 270000 --lr-scheduler cosine --lr-shrink 0.75
    --warmup-updates 16000 --warmup-init-lr 1e-07 --stop-min-lr 1e-09 --optimizer adam
    --min-lr 0.0001 --clip-norm 0.1
    --criterion adaptive_loss --max-tokens 3072 --update-freq 3 --tokens-per-sample 3072 --seed 1
    --sample-break-mode none --skip-invalid-size-inputs-valid-test --ddp-backend=legacy_ddp"""
LETTERS = """letters --task language_modeling --arch transformer_lm --criterion cross_entropy --optimizer adam
    --lr-scheduler inverse_sqrt --lr 0.0005 --warmup-updates 4000 --share-decoder-input-output-embed
    --decoder-layers 2 --decoder-embed-dim 64 --add-bos-token --adaptive-softmax-cutoff 8,12 --max-tokens 2048
    --max-target-positions 600"""

LINES = {
    "task.data=c --config-name wav2vec2_base_librispeech distributed_training.distributed_world_size=1 "
    "+optimization.update_freq='[64]'": {
        "optimization.update_freq": [64],
        "distributed_training.distributed_world_size": 1,
    },
    "task.data=c --config-name wav2vec2_conformer_base_librispeech --attn-type espnet --pos-enc-type rope": {
        "model.attn_type": "espnet",
        "model.pos_enc_type": "rope",
    },
    "task.data=c model.w2v_path=w --config-name base_100h "
    "+criterion.wer_args='[/path/kenlm, /path/lexicon, 2, -1]'": {
        "criterion.wer_args": ["/path/kenlm", "/path/lexicon", 2.0, -1.0]
    },
    "distributed_training.distributed_port=2950 task.data=c model.w2v_path=w --config-name base_100h": {
        "distributed_training.distributed_port": 2950
    },
    "task.data=c --config-name wav2vec2_large_librivox_tpu.yaml": {"common.tpu": True, "optimizer.tpu": True},
    "task.data=c --config-name wav2vec2_large_librivox_tpu-pod.yaml": {
        "distributed_training.distributed_world_size": 128
    },
    WAV2VEC: {
        "task.data": "corpus",
        "checkpoint.save_dir": "M",
        "model._name": "wav2vec",
        "model.skip_connections_agg": True,
        "common.fp16": True,
        "optimization.lr": [0.005],
        "optimizer.lr": [0.005],
        "optimization.stop_min_lr": 1e-9,
        "lr_scheduler._name": "cosine",
        "lr_scheduler.min_lr": 1e-6,
        "lr_scheduler.max_update": 400000,
        "task.max_sample_size": 150000,
        "dataset.max_tokens_valid": 1500000,
    },
    VQ: {
        "model.vq_type": "gumbel",
        "model.vq_temp": [2.0, 0.5, 0.999995],
        "model.combine_groups": True,
        "criterion.log_keys": ["prob_perplexity", "code_perplexity", "temp"],
        "task.seed": 2,
    },
    KMEANS: {"model.vq_type": "kmeans", "criterion.loss_weights": [1.0]},
    CODES: {
        "task.data": "codes",
        "task.sample_break_mode": "eos",
        "task.tokens_per_sample": 3072,
        "task.mask_prob": 0.5,
        "task.mask_multiple_length": 10,
        "task.mask_stdev": 10.0,
        "task.seed": 5,
        "model._name": "roberta_base",
        "model.encoder_layers": 12,
        "model.max_positions": 6144,
        "model.dropout": 0.1,
        "criterion._name": "masked_lm",
        "lr_scheduler.total_num_update": 250000.0,
        "optimization.update_freq": [4],
        "dataset.max_tokens": 4096,
    },
    WORDS: {
        "model._name": "transformer_lm_wiki103",
        "model.decoder_layers": 16,
        "model.decoder_embed_dim": 1024,
        "model.decoder_input_dim": 1024,
        "model.decoder_ffn_embed_dim": 4096,
        "model.decoder_attention_heads": 8,
        "model.decoder_normalize_before": True,
        "model.no_decoder_final_norm": True,
        "model.adaptive_softmax_cutoff": "20000,60000",
        "model.tie_adaptive_proj": True,
        "model.tokens_per_sample": 3072,
        "criterion._name": "adaptive_loss",
        "task.sample_break_mode": "none",
        "lr_scheduler.t_mult": 2.0,
    },
    LETTERS: {
        "model._name": "transformer_lm",
        "model.share_decoder_input_output_embed": True,
        "model.decoder_output_dim": 64,
        "model.adaptive_softmax_cutoff": "8,12",
        "model.add_bos_token": True,
        "task.add_bos_token": True,
        "model.max_target_positions": 600,
        "criterion.sentence_avg": False,
    },
}


def resolve(line: str) -> dict[str, Any]:
    words = shlex.split(line)
    name = None
    if "--config-name" in words:
        at = words.index("--config-name")
        name = words[at + 1]
        del words[at : at + 2]
    sorted_words = sort_words(words)
    flags = sorted_words.flags + ((Flag("data", sorted_words.data),) if sorted_words.data else ())
    return as_mapping(load_recipe(name, overrides=sorted_words.overrides, flags=flags))


@pytest.mark.parametrize("line", LINES)
def test_resolves(line: str) -> None:
    resolved = resolve(line)
    for path, value in LINES[line].items():
        group, _, key = path.partition(".")
        assert resolved[group][key] == value, path


def test_min_lr_is_the_old_word_for_stop_min_lr_where_the_scheduler_has_none() -> None:
    line = WAV2VEC.replace("--lr-scheduler cosine", "--lr-scheduler polynomial_decay")
    line = line.replace("--stop-min-lr 1e-09", "").replace("--warmup-init-lr 1e-07", "")
    assert resolve(line)["optimization"]["stop_min_lr"] == 1e-6
