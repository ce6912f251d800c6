import numpy as np
import pyarrow as pa
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def train(rows: pa.Table) -> Pipeline:
    """Fit on the training rows; columns are the declared features and the label; NULL comes as NaN."""
    features = rows.drop_columns(["late"])
    matrix = np.column_stack([column.to_numpy() for column in features.columns])
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(matrix, rows["late"].to_pylist())
