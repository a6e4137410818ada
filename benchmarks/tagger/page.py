"""What benchmarks/README.md shows of `benchmarks.tagger`."""

from __future__ import annotations

from benchmarks.pages import Found, table


def summary(found: Found) -> str:
    """What benchmarks/README.md shows of it."""
    rows: list[tuple[str, ...]] = []
    for run in found["runs"]:
        test = run["int8"]["test"]["token_micro_f1"]
        rows.append(
            (
                f"{run['seed']}",
                f"{run['int8']['dev']['token_micro_f1']['value']:.4f}",
                f"{test['value']:.4f} ({test['low']:.3f}–{test['high']:.3f})",
                f"{run['int8']['test']['entity_micro_f1']['value']:.4f}",
                f"{run['float32']['test']['token_micro_f1']['value']:.4f}",
                f"{run['int8']['test_without_dev']['token_micro_f1']['value']:.4f}",
                f"{run['training_cpu_seconds']:,.0f}",
            )
        )
    average, told = found["average"], found["summary"]
    rows.append(
        (
            "mean ± sd",
            *(
                f"{told[name]['mean']:.4f} ± {told[name]['sd']:.4f}"
                for name in (
                    "int8_dev_token",
                    "int8_test_token",
                    "int8_test_entity",
                    "float32_test_token",
                    "int8_test_without_dev_token",
                )
            ),
            "",
        )
    )
    joint = average["test"]["token_micro_f1"]
    rows.append(
        (
            "seeds' mean probabilities",
            f"{average['dev']['token_micro_f1']['value']:.4f}",
            f"{joint['value']:.4f} ({joint['low']:.3f}–{joint['high']:.3f})",
            f"{average['test']['entity_micro_f1']['value']:.4f}",
            "",
            "",
            "",
        )
    )
    cost, mean = found["cost"], told["int8_test_token"]["mean"]
    verdict = "met" if mean >= found["goal"] else "**missed**"
    return "\n".join(
        (
            f"`token-tagger` on WNUT-2017, F1 in 8 bits unless it says otherwise. Required on "
            f"test: {found['required']:.2f} of tokens; goal {found['goal']:.2f}, {verdict} by the "
            f"mean of the seeds. One text of at most {cost['most_words']} words takes "
            f"{cost['cpu_ms_p50']:.1f} ms of CPU in the median and {cost['cpu_ms_p99']:.1f} ms at "
            f"p99; the bundle has {cost['bundle_bytes'] / 2**20:.0f} MiB, a process with it "
            f"{cost['memory_mib']:.0f} MiB, loaded in {cost['import_and_load_seconds']:.1f} s.\n",
            table(
                (
                    "seed",
                    "dev, tokens",
                    "test, tokens (95 %)",
                    "test, entities",
                    "float32 test, tokens",
                    "test, tokens, dev not learnt",
                    "CPU seconds",
                ),
                rows,
            ),
        )
    )
