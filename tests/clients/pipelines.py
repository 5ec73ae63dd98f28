"""Pipelines of scikit-learn, converted by skl2onnx, against scikit-learn itself. Prints the name of each one that agrees."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
DIABETES = DIABETES[0] * 10, DIABETES[1]
TEXTS = np.array([["the cat sat on the mat"], ["a dog barked at the cat"], ["dogs and cats; rain, rain!"], ["no animals here"]] * 5)
ANSWERS = np.array([0, 1, 1, 0] * 5)


def classifiers() -> Iterator[Any]:
    yield make_pipeline(StandardScaler(), LogisticRegression())
    yield RandomForestClassifier(20, random_state=0)
    yield GradientBoostingClassifier(n_estimators=10, random_state=0)
    yield SVC(probability=False)
    yield CalibratedClassifierCV(LinearSVC())
    yield GaussianNB()
    yield KNeighborsClassifier(5)
    yield MLPClassifier((8,), max_iter=300, random_state=0)
    yield make_pipeline(PolynomialFeatures(2), PCA(3), LogisticRegression(max_iter=2000))
    yield make_pipeline(KBinsDiscretizer(4, encode="onehot-dense"), LogisticRegression())


def regressors() -> Iterator[Any]:
    yield LinearRegression()
    yield SVR(C=50)
    yield ExtraTreesRegressor(10, random_state=0)
    yield KNeighborsRegressor(4)
    yield GaussianProcessRegressor(ConstantKernel(1e4) * RBF(2.0), alpha=1.0)
    yield VotingRegressor([("a", LinearRegression()), ("b", ExtraTreesRegressor(5, random_state=0))])


def name_of(model: Any) -> str:
    """The names of the steps of a pipeline, or of a model."""
    return "+".join(type(step).__name__ for _, step in getattr(model, "steps", [("", model)]))


def check(model: Any, x: Any, kind: Any, name: str = "", tolerance: float = 1e-4) -> None:
    """Convert a fitted model and compare what it predicts."""
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") and not isinstance(model, IsolationForest) else None
    converted = to_onnx(model, initial_types=[("x", kind)], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, {"x": x})
    if hasattr(model, "predict"):
        wanted = model.predict(x)
        if np.issubdtype(wanted.dtype, np.floating):
            np.testing.assert_allclose(got[0].ravel(), wanted, rtol=1e-3, atol=tolerance * np.abs(wanted).max())
        else:
            assert (got[0].ravel() == wanted).mean() > 0.98
        if hasattr(model, "predict_proba"):
            np.testing.assert_allclose(got[1], model.predict_proba(x), rtol=1e-3, atol=1e-4)
    else:
        wanted = model.transform(x)
        wanted = wanted.toarray() if hasattr(wanted, "toarray") else wanted
        np.testing.assert_allclose(got[0], wanted, rtol=1e-3, atol=1e-5)
    print(name or name_of(model), flush=True)


def main() -> None:
    """Check all."""
    features = IRIS[0].astype(np.float32)
    for model in classifiers():
        check(model.fit(features, IRIS[1]), features, FloatTensorType([None, 4]))
    inputs = DIABETES[0].astype(np.float32)
    for model in regressors():
        check(model.fit(inputs, DIABETES[1]), inputs, FloatTensorType([None, 10]))
    check(KMeans(3, n_init=2, random_state=0).fit(features), features, FloatTensorType([None, 4]))
    check(IsolationForest(n_estimators=10, random_state=0).fit(features), features, FloatTensorType([None, 4]))
    holes = np.where(np.random.default_rng(0).random(features.shape) < 0.1, np.nan, features).astype(np.float32)
    check(SimpleImputer(strategy="median").fit(holes), holes, FloatTensorType([None, 4]))
    text = StringTensorType([None, 1])
    for vectorizer in (TfidfVectorizer(ngram_range=(1, 2)), CountVectorizer(lowercase=True)):
        columns = ColumnTransformer([("text", vectorizer, 0)])
        model = make_pipeline(columns, MultinomialNB() if isinstance(vectorizer, CountVectorizer) else LogisticRegression())
        check(model.fit(TEXTS, ANSWERS), TEXTS, text, f"{type(vectorizer).__name__}+{type(model.steps[1][1]).__name__}")
    words = TEXTS[:, :1]
    check(OneHotEncoder(sparse_output=False).fit(words), words, text)


if __name__ == "__main__":
    main()
