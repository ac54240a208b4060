"""A ragged panel with gaps: new series without a refit, joint paths, the score."""

import numpy as np

import odeseries as ode

spirals = ode.datasets.make_damped_spirals(30, 40, random_state=0)
spirals = spirals.mask(np.random.default_rng(0).random(spirals.shape) < 0.3)
known, new = spirals.loc[:23], spirals.loc[24:]

model = ode.LatentODEForecaster(2.0, max_epochs=10, random_state=0).fit(known)
print("skill on unseen series:", round(model.score(new), 3))

seen = new[new.index.get_level_values("time") < 8.0]
paths = model.sample([8.5, 9.0, 9.5], history=seen, n_samples=200)
highest = paths["x"].groupby(["series", "sample"]).max()
print("highest x of the next times, median and 90 %:")
print(highest.groupby("series").quantile([0.5, 0.9]).unstack().round(2))
