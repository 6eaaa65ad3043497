"""LightGBM's fastest way of predicting a row, which its C library offers and its Python package does not: settings are read
once for all rows of an array."""
import ctypes

import numpy as np


class Rows:
    def __init__(self, lightgbm=None, model=None, x=None, classes=0):
        self.model, self.x = model, x
        if lightgbm is None:
            return
        self.library, self.settings = lightgbm.basic._LIB, ctypes.c_void_p()
        self.out, self.length = np.empty(max(classes, 1)), ctypes.c_int64()
        self.to = self.out.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        self.start, self.stride, f32 = x.ctypes.data, x.strides[0], 0
        normal, first, all_trees = 0, 0, -1
        self.check(
            self.library.LGBM_BoosterPredictForMatSingleRowFastInit(
                model._handle, normal, first, all_trees, f32, x.shape[1], b"num_threads=1", ctypes.byref(self.settings)
            )
        )

    def are_of(self, model, x):
        return self.model is model and self.x is x

    def predict(self, i):
        row = ctypes.c_void_p(self.start + i * self.stride)
        length = ctypes.byref(self.length)
        self.check(self.library.LGBM_BoosterPredictForMatSingleRowFast(self.settings, row, length, self.to))
        return self.out

    def check(self, code):
        if code:
            raise RuntimeError(self.library.LGBM_GetLastError())
