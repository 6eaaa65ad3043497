"""A fit in a process of its own, whose driver, and with it its Spark, is killed after some rounds.

python checkpoint_fit.py PARQUET FOLDER ROUNDS
"""

import os
import signal
import sys

from cluster import QUICK
from pyspark.sql import SparkSession
from test_spark_checkpoint import ESTIMATOR
from test_spark_losses import AtRound

if __name__ == "__main__":
    source, folder, rounds = sys.argv[1:]
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    # Nobody removes what stays there when it is killed.
    builder = builder.config("spark.local.dir", folder + "-local")
    builder = builder.config("spark.driver.extraJavaOptions", QUICK).config("spark.python.unix.domain.socket.enabled", "true")
    spark = builder.getOrCreate()
    java = spark.sparkContext._gateway.proc.pid

    def killed():
        # First what would stay without its driver.
        for pid in (java, os.getpid()):
            os.kill(pid, signal.SIGKILL)

    with AtRound(int(rounds), killed):
        ESTIMATOR.copy({ESTIMATOR.checkpoint_dir: folder}).fit(spark.read.parquet(source))
