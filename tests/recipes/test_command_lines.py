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
