"""Forecasting irregular time series with learned continuous-time dynamics."""
