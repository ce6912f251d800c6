import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline


def train(rows: pa.Table) -> Pipeline:
    """Fit on the paths as they are; the estimator takes their words apart."""
    words = TfidfVectorizer(token_pattern="[a-z]+")
    return make_pipeline(words, LogisticRegression()).fit(rows["asked"].to_pylist(), rows["refused"].to_pylist())
