"""Forecast weekly CO2, with its gaps, two years past its end."""

import matplotlib.pyplot as plt

import odeseries as ode
from odeseries.plotting import plot_forecast

co2 = ode.datasets.load_co2()
model = ode.LatentODEForecaster("730D", random_state=0).fit(co2)
times = ode.future_times(co2, "730D", freq="W")
intervals = model.predict_interval(times, coverage=[0.5, 0.9])

print(model.predict(times).iloc[[0, 25, 51, 77, 103]])
print("periods in days:", [round(p / 86400, 1) for p in model.periods_])

plot_forecast(co2, model.predict(times), intervals, last=400)
plt.savefig("co2.png", dpi=150)
