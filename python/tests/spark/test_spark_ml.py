"""What users of pyspark.ml do: pipelines, cross-validation, saving and loading."""

import numpy as np
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator, RegressionEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F
from tables import INPUTS, mixed
from tilewise.spark import SparkClassificationModel, SparkLogisticRegression, SparkRidge


def test_pipelines_are_saved_and_loaded(spark, tmp_path):
    frame = spark.createDataFrame(mixed(200)).fillna({"b": 100.0})
    stages = [
        VectorAssembler(inputCols=["a", "b"], outputCol="raw"),
        StandardScaler(inputCol="raw", outputCol="features"),
        SparkLogisticRegression(label_col="grade", C=2.0),
    ]
    pipeline = Pipeline(stages=stages)
    pipeline.write().overwrite().save(str(tmp_path / "pipeline"))
    loaded = Pipeline.load(str(tmp_path / "pipeline")).getStages()[2]
    assert loaded.extractParamMap() == stages[2].extractParamMap()
    fitted = pipeline.fit(frame)
    fitted.write().overwrite().save(str(tmp_path / "fitted"))
    again = PipelineModel.load(str(tmp_path / "fitted"))
    assert isinstance(again.stages[2], SparkClassificationModel)
    assert again.stages[2].to_bytes() == fitted.stages[2].to_bytes()
    assert again.stages[2].uid == stages[2].uid
    ours, theirs = (model.transform(frame).select("prediction", "probability").collect() for model in (again, fitted))
    assert ours == theirs and {row["prediction"] for row in ours} <= {0.0, 1.0, 2.0}


def test_cross_validation_chooses_a_penalty(spark):
    frame = spark.createDataFrame(mixed(200))
    ridge = SparkRidge(features_col=INPUTS, label_col="score", prediction_col="told")
    grid = ParamGridBuilder().addGrid(ridge.alpha, [0.1, 1e6]).build()
    evaluator = RegressionEvaluator(labelCol="score", predictionCol="told")
    chosen = CrossValidator(estimator=ridge, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, seed=1).fit(frame)
    assert chosen.avgMetrics[0] < chosen.avgMetrics[1]
    assert chosen.bestModel.getOrDefault("prediction_col") == "told"
    best = SparkRidge(features_col=INPUTS, label_col="score", alpha=0.1).fit(frame)
    assert chosen.bestModel.to_bytes() == best.to_bytes()


def test_quality_is_that_of_mllib(spark):
    frame = spark.createDataFrame(mixed()).fillna({"b": 100.0}).withColumn("label", F.col("passed").cast("double"))
    frame = VectorAssembler(inputCols=["a", "b"], outputCol="features").transform(frame)
    ours = SparkLogisticRegression(C=1e6, tol=1e-10).fit(frame)
    theirs = LogisticRegression(tol=1e-12, maxIter=1000).fit(frame)
    measure = BinaryClassificationEvaluator(rawPredictionCol="probability")
    told = [model.transform(frame) for model in (ours, theirs)]
    assert abs(measure.evaluate(told[0]) - measure.evaluate(told[1])) < 1e-4
    shares = [np.array([row["probability"].toArray() for row in t.orderBy("key").collect()]) for t in told]
    assert np.abs(shares[0] - shares[1]).max() < 1e-4
