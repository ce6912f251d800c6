"""A user's training that goes wrong: the step fails, with the line, and nothing else is harmed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.consumption.ml.artefact import model_version
from headwater.consumption.ml.failures import hide_values
from headwater.errors import HeadwaterError, StepError, UserCodeError
from tests.consumption.learning import TRAIN, Learning

HEAD = TRAIN.partition("def train")[0]
WARM = pytest.mark.usefixtures("warm_training")
"""For what does not ask how the process is started, and ends."""


def fail(learning: Learning, text: str, kind: type[HeadwaterError] = UserCodeError, **changes: Any) -> HeadwaterError:
    learning.write(text)
    with pytest.raises(kind) as failed:
        learning.make(**changes)
    assert list((learning.root / "tmp").iterdir()) == []
    return failed.value


CASES = {
    "raises": ("def train(rows):\n    print('so far')\n    raise ValueError('no')\n", "train(): ValueError: no", 3),
    "exits": ("import sys\ndef train(rows):\n    sys.exit(3)\n", "train(): it ended Python (exit 3)", 3),
    "recurses": ("def train(rows):\n    return train(rows)\n", "train(): RecursionError: ", 2),
    "returns None": ("\ndef train(rows):\n    pass\n", "train() returned NoneType, which is no estimator", 2),
    "returns a class": (
        "from sklearn.svm import SVC\ndef train(rows):\n    return SVC\n", "train() returned a class, which is no", 2,
    ),
    "interrupts": ("def train(rows):\n    raise KeyboardInterrupt\n", "train(): KeyboardInterrupt", 2),
    "needs a package": ("import nowhere\ndef train(rows): ...\n", "train(): ModuleNotFoundError: No module named", 1),
    "reads our input": ("def train(rows):\n    input()\n", "train(): EOFError", 2),
    "is no function": ("train = 3\n", "ml/learn.py has no function train", 0),
    "is imported": ("from os.path import join as train\n", "train() returned", 0),
    "takes two": ("train = lambda a, b: None\n", "train() does not take one argument, the rows", 1),
}  # fmt: skip


@WARM
@pytest.mark.parametrize("case", CASES)
def test_what_a_function_may_do(learning: Learning, case: str) -> None:
    text, what, line = CASES[case]
    if case == "is imported":
        learning.write("def join(rows):\n    return rows\n", "other.py")
        text = "from other import join as train\n"
        line = 1
    error = fail(learning, text)
    assert what in error.what
    assert error.path == "ml/learn.py"
    assert error.line == line
    assert ("so far" in error.what) == (case == "raises")


DEATHS = {
    "killed": ("import os\ndef train(rows):\n    os.kill(os.getpid(), 9)\n", "was killed by SIGKILL, as is done when"),
    "aborted": ("import os\ndef train(rows):\n    print('last word')\n    os.abort()\n", "was killed by SIGABRT"),
    "left": ("import os\ndef train(rows):\n    os._exit(0)\n", "ended with exit code 0 before it had answered"),
    "group": ("import os\ndef train(rows):\n    os.killpg(0, 9)\n", "was killed by SIGKILL"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_process_that_dies(learning: Learning, death: str) -> None:
    text, what = DEATHS[death]
    error = fail(learning, text, StepError)
    assert f"the process of train() {what}" in error.what
    assert ("last word" in error.what) == (death == "aborted")
    assert error.path == "ml/learn.py"
    assert error.fix


@WARM
def test_what_is_in_a_model_has_to_be_trusted(learning: Learning) -> None:
    own = """
from sklearn.preprocessing import FunctionTransformer
from shared import double
class Own(LogisticRegression):
    pass
def train(rows):
    matrix = np.column_stack([column.to_numpy() for column in rows.drop_columns(["label"]).columns])
    return make_pipeline(SimpleImputer(), FunctionTransformer(double), Own()).fit(matrix, rows["label"].to_pylist())
"""
    learning.write("print('imported')\ndef double(x):\n    return x * 2\n", "shared.py")
    error = fail(learning, HEAD + own)
    assert "the model holds learn.Own, shared.double, which nobody has said to trust" in error.what
    assert "add `trust: [learn.Own, shared.double]`" in error.fix
    assert error.where == "ml/test.yaml:1"
    made, folder = learning.make(trust=["learn.Own", "shared.double"])
    assert made.details["metrics"]["roc_auc"] > 0.8
    scored = learning.model(trust=["learn.Own", "shared.double"], score={"rows": "m.spine", "into": "lake"})
    rows = learning.connection.execute(scored.queries()[1].sql).to_arrow_table()
    assert scored.score(folder, rows, learning.root / "tmp").num_rows == 400
    with pytest.raises(UserCodeError, match=r"learn\.Own, which nobody has said to trust"):
        learning.model(trust=["shared.double"]).score(folder, rows, learning.root / "tmp")


@WARM
def test_what_skops_cannot_save(learning: Learning) -> None:
    error = fail(
        learning,
        HEAD
        + """
def train(rows):
    matrix = np.column_stack([column.to_numpy() for column in rows.drop_columns(["label"]).columns])
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(matrix, rows["label"].to_pylist())
    model.more = (n for n in range(3))
    return model
""",
    )
    assert "skops cannot save what it returned" in error.what


@WARM
def test_an_estimator_that_was_not_fitted(learning: Learning) -> None:
    error = fail(learning, HEAD + "def train(rows):\n    return LogisticRegression()\n")
    assert "no classes_" in error.what
    error = fail(
        learning, "from sklearn.svm import SVR\ndef train(rows):\n    return SVR()\n", metrics=["mae"], baseline=None
    )
    assert "NotFittedError" in error.what


@WARM
def test_a_regressor_has_no_classes(learning: Learning) -> None:
    error = fail(
        learning, TRAIN.replace("LogisticRegression(random_state=0)", "Ridge()").replace("LogisticRegression", "Ridge")
    )
    assert "the estimator has no classes_, and the metrics are of classes" in error.what


@WARM
def test_values_of_rows_are_not_shown(learning: Learning) -> None:
    learning.connection.execute("ALTER TABLE m.feature ADD COLUMN name VARCHAR DEFAULT 'Erika Mustermann'")
    error = fail(
        learning,
        """
        def train(rows):
            name = rows["name"].drop_null()[0].as_py()
            print("first:", [name])
            return float(name)
        """,
        features=[{"from": "m.feature", "columns": ["x", "name"], "available": "known"}],
    )
    assert error.what == "train(): ValueError: could not convert string to float: '…'\nfirst: ['…']"
    assert error.line == 5


def test_hiding_leaves_other_words() -> None:
    values = {"Anna", "two words", "a"}
    text = "ValueError: 'two words' and \"Anna\" and Anna, not Annabel (a) but 'b'"
    assert hide_values(text, values) == "ValueError: '…' and \"…\" and …, not Annabel (…) but 'b'"
    assert hide_values(text, set()) == text


@WARM
def test_much_is_printed(learning: Learning) -> None:
    learning.write(TRAIN.replace("(rows):\n", "(rows):\n    print('x' * 99 + '\\n' * 3 + '\\x1b[2J', flush=True) or "
                                 "[print('line', n) for n in range(400_000)]\n"))  # fmt: skip
    made, _ = learning.make()
    printed = str(made.details["printed"])
    assert printed.endswith("line 399998\nline 399999")
    assert len(printed.splitlines()) <= 20
    assert not learning.write(TRAIN) or "printed" not in learning.make()[0].details


@WARM
def test_modules_beside_it_are_taken_from_their_text(learning: Learning) -> None:
    """Changed within the same second, to the same size: byte code of before would be taken for theirs."""
    learning.write(
        HEAD
        + """
import shared
def train(rows):
    raise ValueError(shared.WORD)
"""
    )
    for word in ("one", "two"):
        path = learning.write(f"WORD = '{word}'\n", "shared.py")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        if word == "one":
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(path.parent)], check=True)
            assert list(path.parent.glob("__pycache__/shared*"))
        with pytest.raises(UserCodeError, match=f"ValueError: {word}"):
            learning.make()


def test_no_byte_code_is_written(learning: Learning) -> None:
    learning.write("import shared\n" + TRAIN)
    learning.write("", "shared.py")
    learning.make()
    assert not (learning.root / "ml/__pycache__").exists()


def test_a_file_called_like_a_module_that_is_loaded(learning: Learning) -> None:
    learning.write(TRAIN, "random.py")
    with pytest.raises(UserCodeError, match=r"ml/random.py is called like the module random"):
        learning.make(train="random.py:train")


@WARM
def test_settings_of_training_do_not_reach_what_is_measured(learning: Learning) -> None:
    """What is stored is what any other process finds in the file."""
    plain, _ = learning.make()
    learning.write(
        "import sklearn, sklearn.metrics\n"
        + TRAIN.replace("(rows):\n", "(rows):\n    patch()\n")
        + """

def patch():
    sklearn.metrics.roc_auc_score = lambda *_: 0.123
"""
    )
    made, _ = learning.make()
    assert made.details["metrics"] == plain.details["metrics"]


WAITING = """
import os, subprocess, sys, time
def train(rows):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(os.environ["HEADWATER_TEST_PIDS"], "w").write(f"{os.getpid()} {other.pid} ")
    time.sleep(600)
"""

PARENT = """
import sys
from pathlib import Path
from tests.consumption.learning import new_learning
learning = new_learning(Path(sys.argv[1]))
learning.write(sys.argv[2])
learning.make()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_running(tmp_path: Path, how: signal.Signals) -> None:
    """When we are killed, or interrupted, the training ends, and what it has started."""
    told = tmp_path / "pids"
    environment = os.environ | {"HEADWATER_TEST_PIDS": str(told)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), WAITING], env=environment, stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    wait_for(lambda: told.exists() and told.read_text(encoding="utf-8").endswith(" "))
    pids = [int(word) for word in told.read_text(encoding="utf-8").split()]
    parent.send_signal(how)
    parent.communicate(timeout=60)
    assert parent.returncode != 0
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def wait_for(met: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_threads_that_are_left_behind_hold_nothing(learning: Learning) -> None:
    learning.write("import threading, time\n" + TRAIN.replace(
        "(rows):\n", "(rows):\n    threading.Thread(target=time.sleep, args=(600,)).start()\n"
    ))  # fmt: skip
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(learning_make(learning)), daemon=True)
    thread.start()
    thread.join(120)
    assert done


def learning_make(learning: Learning) -> str:
    """On a connection of its own thread."""
    learning.connection = learning.connection.cursor()
    made, folder = learning.make()
    assert model_version(folder / "model.skops") == made.details["model_version"]
    return str(made.details["model_version"])
