"""A fit over Spark Connect, in a process of its own: one process has sessions of one kind.

python connect_fit.py ADDRESS PARQUET RANKED OUT
"""

import sys

from pyspark.sql import SparkSession
from tables import INPUTS
from test_spark_ranking import RANKER
from tilewise.spark import SparkClassificationModel, SparkGBDTClassifier, SparkLogisticRegression

if __name__ == "__main__":
    address, source, ranked, out = sys.argv[1:]
    spark = SparkSession.builder.remote(address).getOrCreate()
    frame = spark.read.parquet(source).repartition(3)
    model = SparkLogisticRegression(features_col=INPUTS, label_col="passed").fit(frame)
    model.save_file(out)
    trees = SparkGBDTClassifier(features_col=INPUTS, label_col="passed", row_id_col="key", max_iter=2, max_leaf_nodes=5)
    trees.fit(frame).save_file(out + ".trees")
    ranks = RANKER.copy({RANKER.max_iter: 1}).fit(spark.read.parquet(ranked).repartition(3))
    ranks.save_file(out + ".ranks")
    told = model.transform(frame)
    print(told.select("prediction", "probability").first())
    right = told.filter("prediction = passed").count() / frame.count()
    assert right > 0.8, right
    model.write().save(out + ".saved")
    assert SparkClassificationModel.load(out + ".saved").to_bytes() == model.to_bytes()
    spark.stop()
