"""Situations of tables of scores: directions, units, measures, columns, pairing, copies and other tools."""

from __future__ import annotations

import json

from situations.made import BASE
from situations.scores import (
    EQUAL,
    NOT_WORTH,
    OPTIONS,
    STRONGLY,
    WORTH,
    Table,
    changed,
    draw,
    join,
    long,
    plan,
    renamed,
    with_cells,
    without,
    write,
)

DIRECTION = r"does not state whether higher or lower values are better"
UNIT = ("--baseline", "random", "--delta")
ACC = draw("accuracy", 0.70, 0.03)
LEAD = write(ACC)


def lower(measure: str, level: float, share: float, delta: float, **more) -> Table:
    """Return a situation in which a lower value is better, and pi differs by a share of the level."""
    is_better = share < 0
    return Table(
        truth=f"{measure} of pi is {abs(share):.0%} {'lower, which is better' if is_better else 'higher, which is worse'}",
        text=write(draw(measure, level, share * level)),
        options=(*UNIT, str(delta)),
        must=(WORTH if is_better else NOT_WORTH, r"lower is better"),
        never=(NOT_WORTH if is_better else WORTH,),
        firm=True,
        **more,
    )


# --- which values are better -----------------------------------------------------------------------------------------
POWER = write(draw("power", 4.0, 0.4))
DIRECTIONS = {
    "power has no direction": Table(
        truth="the name of the measure does not state a direction (`wer` is in `power`)",
        text=POWER,
        options=(*UNIT, "0.1"),
        must=(DIRECTION, r"--direction higher or --direction lower"),
        is_refused=True,
    ),
    "power is stated to be better if higher": Table(
        truth="pi has 10 % more power, which is stated to be better",
        text=POWER,
        options=(*UNIT, "0.1", "--direction", "higher"),
        must=(WORTH, r"power \(higher is better\)"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "power is stated to be better if lower": Table(
        truth="pi has 10 % more power, which is stated to be worse",
        text=POWER,
        options=(*UNIT, "0.1", "--direction", "lower"),
        must=(NOT_WORTH, r"power \(lower is better\)"),
        never=(WORTH,),
        firm=True,
    ),
    "cross-entropy falls": lower("cross_entropy", 1.9, -0.05, 0.02),
    "cross-entropy rises": lower("CrossEntropy", 1.9, 0.05, 0.02),
    "word errors fall": lower("wer", 0.14, -0.1, 0.005),
    "word errors rise, in capitals": lower("test/WER", 14.0, 0.1, 0.5),
    "errors of the best answer fall": lower("top1_err", 0.31, -0.1, 0.01),
    "calibration errors rise": lower("ECE", 0.05, 0.2, 0.002),
    "bits per byte fall": lower("val_bpb", 1.1, -0.05, 0.01),
    "seconds until an answer fall": lower("latency_ms", 41.0, -0.1, 1.0),
    "two directions in a name": Table(
        truth="accuracy_error may be better if higher or lower",
        text=write(draw("accuracy_error", 0.3, 0.03)),
        must=(DIRECTION,),
        is_refused=True,
    ),
    "a word of losses inside another word": Table(
        truth="lossless_psnr is better if higher: `loss` is not a word of it",
        text=write(draw("lossless_psnr", 31.0, 1.5)),
        must=(WORTH, r"higher is better"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "a column states the direction": Table(
        truth="a column says that lower values of power are better, and pi has 10 % more",
        text=write(with_cells(long(draw("power", 4.0, 0.4), "power"), higher_is_better=lambda row: "false")),
        options=(*UNIT, "0.1"),
        must=(NOT_WORTH, r"power \(lower is better\)"),
        never=(WORTH,),
        firm=True,
    ),
    "the plan states the direction": Table(
        truth="the plan says that lower values of power are better, and pi has 10 % more",
        text=POWER,
        plan='direction = "lower"\n' + plan(delta=0.1),
        options=(),
        must=(NOT_WORTH, r"power \(lower is better\)"),
        never=(WORTH,),
        firm=True,
    ),
    "an option contradicts the name": Table(
        truth="accuracy is better if higher, and the option says lower",
        text=LEAD,
        options=(*OPTIONS, "--direction", "lower"),
        must=(r"accuracy", r"--direction lower"),
        never=STRONGLY,
        is_refused=True,
    ),
    "a measure without a direction beside accuracy": Table(
        truth="pi leads by 3 points of accuracy; whether a higher gizmo is better is unknown",
        text=write(long(join(ACC, draw("gizmo", 2.0, -0.5)), "accuracy", "gizmo")),
        must=(WORTH, r"gizmo \(unknown direction, so it does not rank arms\)"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "a loss that rises beside accuracy": Table(
        truth="pi leads by 3 points of accuracy, and its loss is 10 % higher, which is worse",
        text=write(long(join(ACC, draw("val_loss", 1.2, 0.12)), "top1", "val_loss", "accuracy")),
        options=(*OPTIONS, "--columns", "value=accuracy"),
        must=(WORTH,),
    ),
    "a loss that rises beside top-1": Table(
        truth="pi leads by 3 points of top-1, and its loss is 10 % higher, which is worse",
        text=write(long(join(draw("top1", 0.7, 0.03), draw("val_loss", 1.2, 0.12)), "top1", "val_loss")),
        must=(r"val_loss points? the other way",),
        never=STRONGLY,
    ),
}  # fmt: skip

# --- units -----------------------------------------------------------------------------------------------------------
MIXED = r"shares are mixed with percent"
IN_PERCENT = draw("accuracy", 70.0, 3.0, digits=2)
FULL = [{"arm": arm, "seed": seed, "accuracy": 1.0} for arm in ("random", "pi") for seed in range(6)]
UNITS = {
    "all cells in percent": Table(
        truth="pi leads by 3 points",
        text=write(IN_PERCENT),
        must=(WORTH, r"\+3\.0 points", r"in percent"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "one cell in percent": Table(
        truth="one of twelve cells is in percent",
        text=write(changed(ACC, "pi", [2], accuracy=lambda old: 100 * old)),
        must=(MIXED, r"row 10"),
        is_refused=True,
    ),
    "one arm in percent": Table(
        truth="pi is in percent and random in fractions; pi leads by 3 points",
        text=write(changed(ACC, "pi", None, accuracy=lambda old: 100 * old)),
        must=(MIXED,),
        is_refused=True,
    ),
    "errors of one arm in percent": Table(
        truth="the errors of pi are in percent and those of random in fractions",
        text=write(changed(draw("err", 0.31, -0.02), "pi", None, err=lambda old: 100 * old)),
        must=(MIXED,),
        is_refused=True,
    ),
    "chance in percent beside fractions": Table(
        truth="chance is stated in percent, accuracy in fractions",
        text=write(with_cells(long(ACC, "accuracy"), chance=lambda row: 10)),
        must=(MIXED,),
        is_refused=True,
    ),
    "a share above 1": Table(
        truth="one accuracy is 1.2, which is not a share",
        text=write(changed(ACC, "pi", [2], accuracy=1.2)),
        must=(r"row 10", r"accuracy"),
        is_refused=True,
    ),
    "a negative share": Table(
        truth="one accuracy is -0.7",
        text=write(changed(ACC, "random", [0], accuracy=-0.7)),
        must=(r"row 2", r"accuracy"),
        is_refused=True,
    ),
    "more than 100 percent": Table(
        truth="one accuracy is 170 %",
        text=write(changed(IN_PERCENT, "random", [0], accuracy=170)),
        must=(r"row 2", r"accuracy"),
        is_refused=True,
    ),
    "a sign of percent in a cell": Table(
        truth="one cell has a sign of percent",
        text=write(changed(IN_PERCENT, "pi", [5], accuracy="77 %")),
        must=(r"row 13", r"77 %"),
        is_refused=True,
    ),
    "a decimal comma": Table(
        truth="a spreadsheet wrote decimal commas",
        text=write(changed(ACC, "pi", None, accuracy=lambda old: str(old).replace(".", ",")), "\t"),
        file="results.tsv",
        must=(r"decimal point",),
        is_refused=True,
    ),
    "delta is a fraction": Table(
        truth="pi equals random; delta is a share where points are meant",
        text=write(draw("accuracy", 0.70, 0.0, digits=6)),
        options=(*UNIT, "0.005"),
        must=(r"0\.005 points may be a share: then set 0\.5",),
        never=(EQUAL, r"0\.0 points \(delta\)", r"within 0\.0 points"),
    ),
    "delta is a fraction, and pi leads": Table(
        truth="pi leads by 3 points; delta is a share where points are meant",
        text=LEAD,
        options=(*UNIT, "0.005"),
        must=(r"0\.005 points may be a share: then set 0\.5",),
        never=(EQUAL, r"0\.0 points \(delta\)", r"within 0\.0 points"),
    ),
    "delta is above the range": Table(
        truth="no difference of shares is 150 points",
        text=LEAD,
        options=(*UNIT, "150"),
        must=(r"expected less than 100 points",),
        is_refused=True,
    ),
    "delta is above a quarter of the room": Table(
        truth="pi leads by 3 points; delta is 30 points, of at most 70",
        text=LEAD,
        options=(*UNIT, "30"),
        must=(r"more than a quarter of the possible difference",),
        never=STRONGLY,
    ),
    "delta of errors in fractions is in points": Table(
        truth="the error of pi falls from 0.31 to 0.28; delta is 0.5 where 0.005 is meant",
        text=write(draw("error", 0.31, -0.03)),
        must=(r"more than a quarter of the possible difference",),
        never=STRONGLY,
    ),
    "every answer is right": Table(
        truth="all runs of both arms score 100 %, so the test cannot show a difference",
        text=write(FULL),
        must=(r"undecided", r"Scores are rounded to 100\.0 points, so more seeds alone may not decide it"),
        never=(*STRONGLY, r"would decide it"),
    ),
    "the baseline is at chance": Table(
        truth="both arms are at chance, so the test shows no difference of what they learned",
        text=write(with_cells(long(draw("accuracy", 0.1, 0.0, digits=5), "accuracy"), chance=lambda row: 0.1)),
        must=(r"did not learn",),
        never=STRONGLY,
    ),
    "decibels are not shares": Table(
        truth="pi leads by 1.5 dB, delta is 0.5 dB",
        text=write(draw("PSNR", 31.0, 1.5)),
        must=(WORTH, r"\+1\.5"),
        never=(r"1\.5 points", r"in percent\)"),
        firm=True,
    ),
    "a target is a fraction": Table(
        truth="pi is at 73 %; the target is a share where percent is meant",
        text=LEAD,
        options=(*OPTIONS, "--target", "0.74"),
        must=(r"Target 0\.74 % is not compared: expected percent",),
        never=(r"than the target",),
    ),
    "a target is above the range": Table(
        truth="no accuracy is 176.5 %",
        text=LEAD,
        options=(*OPTIONS, "--target", "176.5"),
        must=(r"Target 176\.5 % is not compared: expected percent, more than 1 and at most 100",),
        never=(r"than the target",),
    ),
}  # fmt: skip

# --- which measure decides -------------------------------------------------------------------------------------------
SEVERAL = r"more than one (column|measure) may be 'value'"
BLEU = draw("bleu", 27.0, 1.5, digits=2)
BEST_EPOCH = draw("best_epoch", 400, -200, digits=0)
MEASURES = {
    "two measures without a preferred one": Table(
        truth="BLEU favors pi, ROUGE random; the table does not say which counts",
        text=write(long(join(BLEU, draw("rouge", 40.0, -2.0, digits=2)), "bleu", "rouge")),
        must=(rf"{SEVERAL}: bleu, rouge", r"--columns"),
        is_refused=True,
    ),
    "two columns of measures": Table(
        truth="validation favors pi, the test random; the table does not say which counts",
        text=write(join(draw("val_acc", 0.7, 0.03), draw("test_acc", 0.69, -0.03))),
        must=(rf"{SEVERAL}: val_acc, test_acc", r"--columns"),
        is_refused=True,
    ),
    "one of two columns is named": Table(
        truth="the test favors random by 3 points",
        text=write(join(draw("val_acc", 0.7, 0.03), draw("test_acc", 0.69, -0.03))),
        options=(*OPTIONS, "--columns", "value=test_acc"),
        must=(NOT_WORTH, r"test_acc \(higher is better, in percent\)", r"columns not read: val_acc"),
        never=(WORTH,),
        firm=True,
    ),
    "the best epoch stands first": Table(
        truth="pi leads by 3 points and has its best epoch 200 epochs earlier",
        text=write(join(BEST_EPOCH, draw("accuracy", 0.7, 0.03))),
        must=(WORTH, r"Read: accuracy"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "accuracy of training stands first": Table(
        truth="pi is 3 points worse in the test and better in training",
        text=write(join(draw("train_acc", 0.9, 0.05), draw("test_acc", 0.7, -0.03))),
        must=(NOT_WORTH, r"Read: test_acc"),
        never=(WORTH,),
        firm=True,
    ),
    "a long table with the loss of training": Table(
        truth="pi is worse in the test and its training loss lower",
        text=write(long(join(draw("train_loss", 1.2, -0.2), BLEU), "train_loss", "bleu")),
        must=(WORTH, r"bleu \(higher is better\)"),
        firm=True,
    ),
    "steps, rates and times beside a loss": Table(
        truth="the validation loss of pi is 10 % lower",
        text=write(
            join(
                draw("global_step", 900, 90, digits=0),
                draw("lr", 0.1, 0.01),
                draw("runtime", 600, 60),
                draw("val_loss", 1.2, -0.12),
            )
        ),
        options=(*UNIT, "0.02"),
        must=(WORTH, r"val_loss \(lower is better\)"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "standard errors beside accuracy": Table(
        truth="pi leads by 3 points; acc_stderr is the error of each score",
        text=write(join(draw("acc", 0.7, 0.03), draw("acc_stderr", 0.009, 0.001, digits=5))),
        must=(WORTH, r"Read: acc \("),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "the preferred measure stands second": Table(
        truth="pi leads by 3 points of top-1, and BLEU is undecided",
        text=write(long(join(draw("bleu", 27.0, 0.0, digits=2), draw("top1", 0.7, 0.03)), "bleu", "top1")),
        must=(WORTH, r"top1 \(higher is better, in percent\)"),
        firm=True,
    ),
    "a rate of success beside BLEU": Table(
        truth="pi succeeds less often, and has more BLEU; the table does not say which counts",
        text=write(join(draw("success_rate", 0.7, -0.1), BLEU)),
        must=(rf"{SEVERAL}: success_rate, bleu",),
        is_refused=True,
    ),
    "a rate of word errors beside BLEU": Table(
        truth="pi has more word errors and more BLEU; the table does not say which counts",
        text=write(join(draw("word_error_rate", 0.2, 0.1), BLEU)),
        must=(rf"{SEVERAL}: word_error_rate, bleu",),
        is_refused=True,
    ),
    "two measures with a stated direction": Table(
        truth="power favors pi, gizmo random; the option states a direction and not which counts",
        text=write(long(join(draw("power", 4.0, 0.4), draw("gizmo", 2.0, -0.2)), "power", "gizmo")),
        options=(*UNIT, "0.1", "--direction", "higher"),
        must=(rf"{SEVERAL}: power, gizmo",),
        is_refused=True,
    ),
    "a measure of training is named": Table(
        truth="the training accuracy is asked for, in which pi leads",
        text=write(join(draw("train_acc", 0.9, 0.05), draw("test_acc", 0.7, -0.03))),
        options=(*OPTIONS, "--columns", "value=train_acc"),
        must=(r"Read: train_acc \(", r"columns not read: test_acc"),
    ),
}  # fmt: skip

# --- columns and rows ------------------------------------------------------------------------------------------------
COLUMNS = {
    "no column of seeds": Table(
        truth="the table does not name the seed",
        text=write({"arm": row["arm"], "accuracy": row["accuracy"]} for row in ACC),
        must=(r"no column for 'seed' in arm, accuracy", r"--columns"),
        is_refused=True,
    ),
    "no seed, two names of the arm and two measures": Table(
        truth="three fields are unclear",
        text="name,kind,acc,auc\na,x,0.5,0.6\na,x,0.6,0.61\nb,y,0.7,0.71\nb,y,0.72,0.7\n",
        must=(r"no column for 'seed'.*'arm': name, kind.*'value': acc, auc.*--columns seed=COLUMN,arm=name,value=acc",),
        is_refused=True,
    ),
    "other names of the columns": Table(
        truth="pi leads by 3 points on one data set",
        text=write(renamed(with_cells(ACC, dataset=lambda row: "cifar"), arm="method", seed="run_seed")),
        must=(WORTH, r"arm = method", r"seed = run_seed"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "names of columns in capitals": Table(
        truth="pi leads by 3 points",
        text=write(renamed(ACC, arm="Arm", seed="Seed", accuracy="Accuracy")),
        must=(WORTH,),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "semicolons between the columns": Table(
        truth="a spreadsheet wrote semicolons; pi leads by 3 points",
        text=write(ACC, ";"),
        must=(WORTH,),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "rows of folds": Table(
        truth="each run has a row for each of two folds, which no field names",
        text=write([{**row, "fold": k} for k in (1, 2) for row in draw("accuracy", 0.7, 0.03 * k)]),
        must=(r"more than one row for accuracy", r"They differ in fold"),
        is_refused=True,
    ),
    "a row twice": Table(
        truth="one run is listed twice",
        text=write([*ACC, ACC[-1]]),
        must=(r"more than one row for accuracy",),
        is_refused=True,
    ),
    "an empty cell": Table(
        truth="one of six runs of pi has no score",
        text=write(changed(ACC, "pi", [5], accuracy="")),
        must=(r"1 of 6 runs of pi has no score",),
        never=(*STRONGLY, r"No run failed"),
    ),
    "a score is not a number": Table(
        truth="one of six runs of random ended with NaN",
        text=write(changed(ACC, "random", [2], accuracy="nan")),
        must=(r"1 of 6 runs of random has no score",),
        never=(*STRONGLY, r"No run failed"),
    ),
    "no score of pi": Table(
        truth="every run of pi has no score; the arms have the same seeds",
        text=write(changed(ACC, "pi", None, accuracy="")),
        must=(r"pi and random have no seed with scores of both", r"6 of 6 runs of pi have no score"),
        never=(*STRONGLY, r"no seed in common", r"No run failed"),
    ),
    "a crashed run": Table(
        truth="one of six runs of pi crashed after a high score",
        text=write(changed(with_cells(ACC, status=lambda row: "finished"), "pi", [3], status="crashed")),
        must=(r"1 of 6 runs of pi has no score \(failed\)",),
        never=(*STRONGLY, r"No run failed"),
    ),
    "a run is unfinished": Table(
        truth="one of six runs of pi has not ended",
        text=write(changed(with_cells(ACC, status=lambda row: "finished"), "pi", [3], status="running")),
        must=(r"1 of 6 runs of pi has no score",),
        never=(*STRONGLY, r"No run failed"),
    ),
    "rows of JSON": Table(
        truth="pi leads by 3 points",
        text=json.dumps(ACC),
        file="rows.json",
        must=(WORTH,),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "a row of JSON a line": Table(
        truth="pi is 3 points worse",
        text="\n".join(map(json.dumps, draw("accuracy", 0.7, -0.03))),
        file="rows.jsonl",
        must=(NOT_WORTH,),
        never=(WORTH,),
        firm=True,
    ),
    "nested JSON": Table(
        truth="the file contains one object",
        text='{"results": {"arc": {"acc,none": 0.5}}, "configs": {}}',
        file="results.json",
        must=(r"not a list of records",),
        is_refused=True,
    ),
    "a pickle": Table(
        truth="a pickle can execute code",
        text="cos\nsystem\n",
        file="rows.pkl",
        must=(r"unpickling executes what the file contains",),
        is_refused=True,
    ),
    "scores by item": Table(
        truth="pi is right on 24 of 60 items more in each of four seeds",
        text=write(
            {"arm": arm, "seed": seed, "measure": "acc", "item": item, "value": int((7 * item + seed) % 60 < most)}
            for arm, most in (("random", 24), ("pi", 48))
            for seed in range(4)
            for item in range(60)
        ),
        must=(r"over seeds and (items|images)", r"60 (items|images|examples)"),
        never=(NOT_WORTH,),
    ),
}  # fmt: skip

# --- seeds and pairing -----------------------------------------------------------------------------------------------
GAP = without(ACC, "pi", 2)
LACKS = r"pi lacks seed 2: run it, or list it with status = failed"
SEEDS = {
    "a gap": Table(
        truth="pi leads by 3 points in five seeds; its seed 2 is not listed, which may be a failure",
        text=write(GAP),
        must=(LACKS, r"1 of 6 runs of pi has no score"),
        never=(*STRONGLY, r"No run failed"),
    ),
    "a gap in the baseline": Table(
        truth="pi leads by 3 points in five seeds; seed 3 of random is not listed",
        text=write(without(ACC, "random", 3)),
        must=(r"random lacks seed 3",),
        never=(*STRONGLY, r"No run failed"),
    ),
    "a gap in another arm": Table(
        truth="pi leads by 3 points in six seeds; seed 2 of a third arm is not listed",
        text=write(without(draw("accuracy", 0.7, 0.03, other=0.0), "other", 2)),
        must=(WORTH, r"other lacks seed 2"),
        never=(r"No run failed",),
        firm=True,
    ),
    "a gap and arms that share nothing": Table(
        truth="equal numbers share nothing, so a missing number is not a gap; pi leads by 3 points",
        text=write(GAP),
        options=(*OPTIONS, "--columns", "run=seed"),
        must=(WORTH, r"not paired by seed"),
        never=(r"lacks seed",),
        firm=True,
    ),
    "a gap and a plan": Table(
        truth="the plan lists seed 2 of pi, which has no run",
        text=write(GAP),
        plan=plan(),
        options=(),
        must=(r"1 of 6 runs of pi has no score",),
        never=(*STRONGLY, r"As planned \(", r"No run failed"),
    ),
    "a table as planned": Table(
        truth="six seeds were planned and run; pi leads by 3 points",
        text=LEAD,
        plan=plan(),
        options=(),
        must=(WORTH, r"As planned \("),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "a table with fewer seeds than planned": Table(
        truth="eight seeds were planned, six were run",
        text=LEAD,
        plan=plan(seeds=8),
        options=(),
        must=(r"2 of 8",),
        never=(*STRONGLY, r"As planned \("),
    ),
    "an arm more than planned": Table(
        truth="other was not planned",
        text=write(draw("accuracy", 0.7, 0.03, other=0.0)),
        plan=plan(),
        options=(),
        must=(WORTH, r"other"),
        never=(r"As planned \(",),
    ),
    "another delta than planned": Table(
        truth="delta was 0.5 in the plan and is 2 now, by which pi still leads",
        text=LEAD,
        plan=plan(),
        options=("--delta", "2"),
        must=(r"delta was 0\.5",),
        never=(r"As planned \(",),
    ),
    "two common seeds": Table(
        truth="the arms share two seeds; pi leads by 3 points",
        text=write(changed(ACC, "pi", range(4), seed=lambda old: old + 10)),
        must=(WORTH, r"not paired by seed"),
        never=(r"lacks seed",),
        firm=True,
    ),
    "a table without a common seed": Table(
        truth="the arms share no seed; pi leads by 3 points",
        text=write(changed(ACC, "pi", None, seed=lambda old: old + 10)),
        must=(WORTH, r"not paired by seed"),
        never=(r"lacks seed", r"[Pp]aired by seed, with"),
        firm=True,
    ),
    "one run against six": Table(
        truth="the one run of pi is 14 points above six of random",
        text=write(changed(without(ACC, "pi", *range(1, 6)), "pi", [0], accuracy=0.84)),
        must=(r"prediction interval", r"if a single run varies as"),
        never=(r"^pi is worth it", NOT_WORTH, EQUAL),
    ),
    "one run against six, within their spread": Table(
        truth="the one run of pi is among the six of random",
        text=write(changed(without(ACC, "pi", *range(1, 6)), "pi", [0], accuracy=0.702)),
        must=(r"undecided",),
        never=STRONGLY,
    ),
    "one run each": Table(
        truth="one run of each arm shows nothing of the spread",
        text=write(without(without(ACC, "pi", *range(1, 6)), "random", *range(1, 6))),
        must=(r"[Oo]ne run",),
        never=STRONGLY,
    ),
    "one run each, with the spread of earlier runs": Table(
        truth="earlier runs vary by 0.5 points, and pi leads by 3",
        text=write(without(without(ACC, "pi", *range(1, 6)), "random", *range(1, 6))),
        more={"earlier.csv": write(row for row in draw("accuracy", 0.6, 0.0) if row["arm"] == "random")},
        options=(*OPTIONS, "--spread-from", "earlier.csv"),
        must=(r"prediction interval", r"if a single run varies as those of .*earlier\.csv"),
        never=(r"^pi is worth it", NOT_WORTH, EQUAL),
    ),
    "two runs each": Table(
        truth="pi leads by 3 points in two seeds by equal differences, which show nothing of the spread",
        text=write(r for r in draw("accuracy", 0.7, 0.03, 2) for r in [{**r, "accuracy": round(r["accuracy"], 2)}]),
        never=(WORTH, NOT_WORTH, EQUAL),
    ),
    "three runs each": Table(
        truth="pi leads by 3 points; three seeds do not check the distribution",
        text=write(draw("accuracy", 0.7, 0.03, 3)),
        must=(WORTH, r"Below 6 seeds, intervals assume that differences are normally distributed"),
        firm=True,
    ),
    "three arms": Table(
        truth="pi leads by 3 points, mimetic trails by 3, twin equals random",
        text=write(draw("accuracy", 0.7, 0.03, mimetic=-0.03, twin=0.0)),
        must=(WORTH, r"mimetic is not worth it", r"simultaneous"),
        never=(r"(?<![Ww]hether )mimetic is worth it", r"(?<![Ww]hether )twin is worth it"),
        firm=True,
    ),
    "spread pooled over five arms": Table(
        truth="pi leads by 3 points; all arms vary alike",
        text=write(draw("accuracy", 0.7, 0.03, 3, a=0.0, b=0.0, c=0.0)),
        plan=plan(("random", "pi", "a", "b", "c"), 3, 'spread = "pooled"\n'),
        options=(),
        must=(WORTH, r"spread over seeds is pooled over 5 arms"),
        firm=True,
    ),
    "spread pooled, one arm varies more": Table(
        truth="c varies twenty times as much as the others",
        text=write(
            with_cells(
                draw("accuracy", 0.7, 0.03, a=0.0, b=0.0, c=0.0),
                accuracy=lambda row: round(row["accuracy"] + (row["arm"] == "c") * 0.05 * BASE[(3 * row["seed"]) % 10], 4),
            )
        ),
        plan=plan(("random", "pi", "a", "b", "c"), 6, 'spread = "pooled"\n'),
        options=(),
        must=(r"each difference has its own spread",),
        never=(r"is pooled over",),
    ),
}  # fmt: skip

# --- copies, rounding and other columns ------------------------------------------------------------------------------
COPY = [
    {**row, "accuracy": ACC[index - 2]["accuracy"]} if row["seed"] == 4 else row
    for index, row in enumerate(ACC)
]
COARSE = [{**row, "accuracy": round(row["accuracy"], 1)} for row in draw("accuracy", 0.7, 0.0)]
ARMS = {"random": "0.1", "pi": "0.3"}
ALIKE = {
    "two seeds are copies": Table(
        truth="seeds 2 and 4 have equal scores of four decimals in both arms",
        text=write(COPY),
        must=(r"seeds 2 and 4 have equal scores in all arms",),
        never=STRONGLY,
    ),
    "rounded scores are equal by chance": Table(
        truth="scores of one decimal are equal; a difference below 10 points cannot be excluded",
        text=write(COARSE),
        never=(*STRONGLY, r"have equal scores in all arms"),
    ),
    "rounded scores differ by a step": Table(
        truth="scores are rounded to 10 points, and pi is a step above in two of six seeds",
        text=write(changed(COARSE, "pi", [1, 3], accuracy=0.8)),
        never=(WORTH, NOT_WORTH, EQUAL),
    ),
    "another rate in pi": Table(
        truth="pi was trained with another rate, which may explain the lead",
        text=write(with_cells(ACC, lr=lambda row: ARMS[row["arm"]])),
        must=(r"lr 0\.1 \(random\) and 0\.3 \(pi\)",),
        never=STRONGLY,
    ),
    "one rate, written in two ways": Table(
        truth="both arms have the learning rate 0.1",
        text=write(with_cells(ACC, lr=lambda row: {"random": "0.1", "pi": "1e-1"}[row["arm"]])),
        must=(WORTH,),
        never=(r"differ in more than the arm",),
        firm=True,
    ),
    "another rate in a third arm": Table(
        truth="only the third arm has another rate; pi leads by 3 points",
        text=write(with_cells(draw("accuracy", 0.7, 0.03, other=0.01), lr=lambda row: 1 if row["arm"] == "other" else 2)),
        must=(WORTH, r"lr 2"),
        firm=True,
    ),
    "one machine": Table(
        truth="all runs used one machine; pi leads by 3 points",
        text=write(with_cells(ACC, gpu=lambda row: "a100")),
        must=(WORTH, r"columns not read: gpu"),
        never=(r"differ in more than the arm",),
        firm=True,
    ),
    "a machine for each arm": Table(
        truth="pi ran on another machine",
        text=write(with_cells(ACC, gpu=lambda row: "a100" if row["arm"] == "pi" else "h100")),
        must=(r"gpu h100 \(random\) and a100 \(pi\)",),
        never=STRONGLY,
    ),
    "a setting of one arm alone": Table(
        truth="gain is a setting of pi itself",
        text=write(with_cells(ACC, gain=lambda row: "1.4" if row["arm"] == "pi" else "")),
        must=(WORTH,),
        never=(r"differ in more than the arm",),
        firm=True,
    ),
    "names of arms that differ in case": Table(
        truth="Pi and pi are one arm or two",
        text=write(changed(ACC, "pi", [4, 5], arm="Pi")),
        must=(r"'pi' and 'Pi' differ only in case or space",),
        is_refused=True,
    ),
    "names of arms that differ in a space": Table(
        truth="two names of one arm",
        text=write(changed(ACC, "pi", [4, 5], arm="p i")),
        must=(r"'pi' and 'p i' differ only in case or space",),
        is_refused=True,
    ),
    "a baseline that is not an arm": Table(
        truth="no arm is called rando",
        text=LEAD,
        options=("--baseline", "rando"),
        must=(r"no arm called 'rando'",),
        is_refused=True,
    ),
    "an arm that is listed twice": Table(
        truth="twin repeats the scores of random, as a setting without effect or a wrong file does",
        text=write([*ACC, *changed((row for row in ACC if row["arm"] == "random"), "random", None, arm="twin")]),
        must=(WORTH, r"twin scores exactly as random does in every seed"),
        never=(r"twin makes no difference that matters",),
        firm=True,
    ),
    "no delta": Table(
        truth="pi leads by 3 points; nothing says what matters",
        text=LEAD,
        options=("--baseline", "random"),
        must=(r"pi is better than random", r"[Nn]o delta is stated"),
        never=STRONGLY,
        firm=True,
    ),
    "no delta and no lead": Table(
        truth="pi equals random; without delta equality cannot be claimed",
        text=write(draw("accuracy", 0.7, 0.0005)),
        options=("--baseline", "random"),
        never=(*STRONGLY, r"pi is (better|worse) than random"),
    ),
}  # fmt: skip

# --- evaluations and data sets ---------------------------------------------------------------------------------------
HALF, END = (draw("accuracy", level, gain) for level, gain in ((0.5, -0.02), (0.7, 0.03)))
STEPS = [{**row, "step": step} for step, rows in ((100, HALF), (200, END)) for row in rows]
BY_SET = [
    {**row, "data_set": name}
    for name, level in (("a", 0.7), ("b", 0.5))
    for row in draw("accuracy", level, 0.03)
]
ONE_WORSE = [
    {**row, "data_set": name}
    for name, gain in (("a", 0.06), ("b", 0.06), ("c", -0.03))
    for row in draw("accuracy", 0.6, gain)
]
EVALUATIONS = {
    "the last step is compared": Table(
        truth="pi trails by 2 points after 100 steps, and leads by 3 at the end",
        text=write(STEPS),
        must=(WORTH, r"after 200 steps"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "an earlier step is compared": Table(
        truth="pi trails by 2 points after 100 steps, and leads by 3 at the end",
        text=write(STEPS),
        options=(*OPTIONS, "--at", "100"),
        must=(r"last evaluation",),
        never=STRONGLY,
    ),
    "an arm stopped early": Table(
        truth="pi ended after 100 steps, random after 200",
        text=write(row for row in STEPS if row["arm"] == "random" or row["step"] == 100),
        options=(*OPTIONS, "--at", "end"),
        must=(r"[Nn]ot equally trained",),
        never=STRONGLY,
    ),
    "two data sets": Table(
        truth="pi leads by 3 points on both data sets",
        text=write(BY_SET),
        must=(WORTH, r"mean over 2 data sets"),
        never=(NOT_WORTH,),
        firm=True,
    ),
    "one of three data sets is worse": Table(
        truth="pi leads by 6 points on two sets, and trails by 3 on the third",
        text=write(ONE_WORSE),
        must=(r"accuracy/c points the other way",),
        never=STRONGLY,
    ),
    "a data set is missing in one run": Table(
        truth="one run of pi has no score on b",
        text=write(row for row in BY_SET if (row["arm"], row["seed"], row["data_set"]) != ("pi", 5, "b")),
        must=(r"1 of 6 runs of pi has no score",),
        never=(*STRONGLY, r"No run failed"),
    ),
}  # fmt: skip


# --- means, targets and other tools ----------------------------------------------------------------------------------
def means(*rows: str, header: str = "arm,measure,mean,sd,n") -> str:
    """Return a table of means of runs."""
    return "\n".join([header, *rows]) + "\n"


LOSS = draw("val_loss", 3.28, -0.02, seeds=5)
MEANS = {
    "means that differ": Table(
        truth="pi is 1.8 points better, with standard deviations of 0.3 and three runs each",
        text=means("random,top1,77.6,0.2,3", "pi,top1,79.4,0.3,3"),
        must=(WORTH, r"means with sd and n, compared by Welch's test"),
        never=(NOT_WORTH, r"[Pp]aired by seed"),
        firm=True,
    ),
    "means with a wide spread": Table(
        truth="pi is 1.8 points better, with standard deviations of 2 points",
        text=means("random,top1,77.6,2.2,3", "pi,top1,79.4,2.0,3"),
        must=(r"undecided",),
        never=STRONGLY,
    ),
    "equal means": Table(
        truth="pi is 0.02 points better, with standard deviations of 0.1 and twenty runs each",
        text=means("random,top1,77.60,0.10,20", "pi,top1,77.62,0.11,20"),
        never=(WORTH, NOT_WORTH),
    ),
    "rounded means without a spread": Table(
        truth="means of one decimal differ by a step, and their standard deviation is rounded to 0",
        text=means("random,top1,77.6,0.0,3", "pi,top1,78.2,0.0,3"),
        never=STRONGLY,
    ),
    "means beside a target": Table(
        truth="pi has a mean of 79.4 in three runs with a deviation of 0.3, which is above 78",
        text=means("random,top1,77.6,0.2,3", "pi,top1,79.4,0.3,3"),
        options=(*OPTIONS, "--target", "78"),
        must=(r"pi is better than the target", r"3 runs"),
        never=(r"one run does not show",),
        firm=True,
    ),
    "means in percent with deviations as fractions": Table(
        truth="the deviations of 0.003 are 0.3 points, so the interval would be a hundred times too short",
        text=means("random,top1,77.6,0.003,3", "pi,top1,77.8,0.002,3"),
        must=(r"sd may be 0\.003 or 0\.3 points beside these means",),
        is_refused=True,
    ),
    "means in percent with deviations of a tenth of a point": Table(
        truth="pi is 1.8 points better, with standard deviations of 0.08 points",
        text=means("random,top1,77.6,0.08,3", "pi,top1,79.4,0.07,3"),
        must=(WORTH,),
        firm=True,
    ),
    "means on two data sets": Table(
        truth="nothing shows how the mean over two sets varies, because runs are not listed",
        text=means(
            *(
                "random,top1,a,77.6,0.2,3",
                "pi,top1,a,79.4,0.3,3",
                "random,top1,b,57.6,0.2,3",
                "pi,top1,b,59.4,0.3,3",
            ),
            header="arm,measure,data_set,mean,sd,n",
        ),
        must=(r"means of several data sets have no common spread",),
        is_refused=True,
    ),
    "means without a spread": Table(
        truth="nothing shows how the runs vary",
        text=means("random,top1,0,77.6", "pi,top1,0,79.4", header="arm,measure,seed,value"),
        must=(r"[Oo]ne run",),
        never=STRONGLY,
    ),
    "means with standard errors": Table(
        truth="stderr is the error of the mean, not a standard deviation",
        text=means("random,top1,77.6,0.2,3", "pi,top1,79.4,0.3,3", header="arm,measure,mean,stderr,n"),
        must=(r"no column for 'seed'",),
        is_refused=True,
    ),
    "a mean of one run": Table(
        truth="a standard deviation of one run is not a spread",
        text=means("random,top1,77.6,0.2,1", "pi,top1,79.4,0.3,3"),
        must=(r"row 2: n is not a number of runs",),
        is_refused=True,
    ),
    "a target is reached": Table(
        truth="pi has a loss of 3.26, and the target is 3.28",
        text=write(LOSS),
        options=(*UNIT, "0.002", "--target", "3.3"),
        must=(r"pi is better than the target",),
        never=(r"pi is worse than the target",),
        firm=True,
    ),
    "a target is missed": Table(
        truth="pi has a loss of 3.26, and the target is 3.20",
        text=write(LOSS),
        options=(*UNIT, "0.002", "--target", "3.20"),
        must=(r"pi is worse than the target",),
        never=(r"pi is better than the target",),
        firm=True,
    ),
    "a target within the spread": Table(
        truth="pi has a loss of 3.26, a spread of 0.01, and the target is 3.262",
        text=write(LOSS),
        options=(*UNIT, "0.002", "--target", "3.262"),
        must=(r"whether pi is better than the target is undecided", r"more runs? "),
        never=(r"pi is (better|worse) than the target \(",),
    ),
}
FILES = ("--baseline", "random", "--delta", "0.5")
ORTHOGONAL = r"(?<![Ww]hether )orthogonal is worth it"
TOOLS = {
    "a run table of wandb": Table(
        truth="accuracy and loss are logged; accuracy is preferred by name; a run crashed",
        file="wandb_runs.csv",
        must=(r"wandb's run table", r"1 of 5 runs of orthogonal has no score \(failed\)"),
        never=(ORTHOGONAL, r"No run failed"),
    ),
    "a chart of wandb": Table(
        truth="orthogonal leads by 2 points at the last step",
        file="wandb_chart.csv",
        must=(ORTHOGONAL, r"wandb's chart export", r"after \d+ steps"),
        never=(r"orthogonal is not worth it",),
        firm=True,
    ),
    "search_runs of MLflow": Table(
        truth="orthogonal leads by 2 points of accuracy; one run of mimetic failed",
        file="mlflow_search_runs.csv",
        options=(*FILES, "--columns", "value=metrics.accuracy"),
        must=(ORTHOGONAL, r"1 of 6 runs of mimetic has no score \(failed\)"),
        never=(r"mimetic makes no difference that matters", r"No run failed"),
        firm=True,
    ),
    "the page of MLflow": Table(
        truth="orthogonal leads by 2 points of accuracy, and its loss is lower by as much",
        file="mlflow_page.csv",
        must=(ORTHOGONAL, r"the CSV of MLflow's page"),
        never=(r"orthogonal is not worth it",),
        firm=True,
    ),
    "logs of lightning": Table(
        truth="the table has an accuracy and a loss of validation, and does not say which counts",
        file="lightning_metrics.csv",
        must=(rf"{SEVERAL}: val_acc, val_loss",),
        is_refused=True,
    ),
    "logs of lightning, with a named measure": Table(
        truth="orthogonal leads by 2 points of validation accuracy at the last step",
        file="lightning_metrics.csv",
        options=(*FILES, "--columns", "value=val_acc"),
        must=(ORTHOGONAL, r"Read: val_acc", r"after 199 steps"),
        never=(r"orthogonal is not worth it",),
        firm=True,
    ),
    "rows of lm-eval": Table(
        truth="the table has two accuracies, and does not say which counts",
        file="typed_lm_eval.jsonl",
        must=(rf"{SEVERAL}: acc,none, acc_norm,none",),
        is_refused=True,
    ),
    "rows of lm-eval, with a named measure": Table(
        truth="orthogonal leads by 2 points on both tasks",
        file="typed_lm_eval.jsonl",
        options=(*FILES, "--columns", "value=acc,none"),
        must=(ORTHOGONAL, r"mean over 2 data sets \(arc_easy, hellaswag\)"),
        never=(r"orthogonal is not worth it",),
        firm=True,
    ),
    "statistics of HELM": Table(
        truth="orthogonal leads by 2 points of exact match",
        file="typed_helm_stats.jsonl",
        options=(*FILES, "--columns", "measure=name.name,value=exact_match"),
        must=(ORTHOGONAL, r"Read: exact_match \(higher is better, in percent\)"),
        never=(r"orthogonal is not worth it",),
        firm=True,
    ),
    "a column for each arm": Table(
        truth="orthogonal leads by 2 points",
        file="pandas_wide.csv",
        must=(ORTHOGONAL, r"a column for each arm"),
        never=(r"orthogonal is not worth it",),
        firm=True,
    ),
}

TABLES: dict[str, Table] = {
    **DIRECTIONS, **UNITS, **MEASURES, **COLUMNS, **SEEDS, **ALIKE, **EVALUATIONS, **MEANS, **TOOLS,
}  # fmt: skip
